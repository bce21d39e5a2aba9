/* argmax.c - see argmax.h. */
#include "handlers/argmax.h"

#include <float.h>

int bs_can_tell_places(bs_handler *h, const char *op, const bs_array *images)
{
    const int64_t *dim = images->dim;
    const int64_t most = (int64_t)1 << (h->dtype == BS_F64 ? DBL_MANT_DIG : FLT_MANT_DIG);
    if (dim[1] * dim[2] * dim[3] <= most)
        return 1;
    bs_fail(&h->error, BS_VALUE,
            "%s: images of shape (%lld, %lld, %lld) have more than %lld values, which is as far as "
            "argmax counts in %s",
            op, (long long)dim[1], (long long)dim[2], (long long)dim[3], (long long)most,
            h->dtype == BS_F64 ? "float64" : "float32");
    return 0;
}
