/* random.c - operations of kernels/random.cu: each is one draw of the handle's stream. */
#include <math.h>

#include "handlers/cuda/cuda.h"

static bs_launch draw(bs_handler *h, const bs_array *out)
{
    const bs_array m = bs_matrix(out, bs_is_packed(out) ? 0 : out->lead);
    bs_launch l = bs_launch_over(m.dim[0], m.dim[1]);
    bs_launch_array(&l, 0, &m);
    l.args.key = h->stream->key;
    l.args.draw = h->stream->draw++;
    return l;
}

static int64_t blocks_of(const bs_array *out) /* of Philox: four elements each */
{
    return (bs_count(out) + 3) / 4;
}

static void generate_probability_mask(bs_handler *h, bs_a_ mask, double probability)
{
    const double p = probability > 0 ? probability < 1 ? probability : 1 : 0;
    bs_launch l = draw(h, mask);
    l.args.size[2] = (int64_t)nearbyint(p * 4294967296.0);
    bs_launch_threads(h, BS_KERNEL_generate_probability_mask, &l, blocks_of(mask));
}

static void fill_gaussian(bs_handler *h, double mean, double std, bs_a_ out)
{
    bs_launch l = draw(h, out);
    bs_launch_number(h, &l, 0, mean);
    bs_launch_number(h, &l, 1, std);
    bs_launch_threads(h, BS_KERNEL_fill_gaussian, &l, blocks_of(out));
}

void bs_cuda_fill_random(bs_ops *ops)
{
    ops->generate_probability_mask = generate_probability_mask;
    ops->fill_gaussian = fill_gaussian;
}
