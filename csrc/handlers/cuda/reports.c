/* reports.c - wrong data, as seen by kernels: ids out of range.
 *
 * A kernel cannot raise an error, and to wait for each would be slow. So each call gets a ticket,
 * and kernels keep the lowest (ticket, row) of all that is wrong in a word of the device, which is
 * read when a pass ends. */
#include "handlers/cuda/cuda.h"

enum { MAX_TICKETS = 64 };

typedef struct ticket {
    const char *op, *layer; /* layer: of h->running, or NULL */
    bs_array ids;           /* data NULL: rows alone are named */
    int64_t n;
} ticket;

typedef struct bs_cuda_reports {
    bs_block *word; /* all bits set: nothing is wrong */
    int n;
    ticket ticket[MAX_TICKETS];
} bs_cuda_reports;

static int reset_word(bs_handler *h, const bs_cuda_reports *own)
{
    bs_cuda *cuda = bs_cuda_of(h);
    return bs_cuda_enter(cuda, &h->error) == BS_OK &&
           BS_CUDA_CALL(cuda, &h->error, cuMemsetD8Async, (CUdeviceptr)own->word->data, 0xff,
                        sizeof(uint64_t), cuda->stream) == BS_OK;
}

void *bs_cuda_report_word(const bs_handler *h)
{
    const bs_cuda_handle *handle = h->impl;
    return handle && handle->reports ? handle->reports->word->data : NULL;
}

void bs_cuda_close_reports(bs_cuda_reports *reports)
{
    if (reports)
        bs_block_release(reports->word);
    bs_free(reports);
}

static bs_cuda_reports *reports_of(bs_handler *h)
{
    bs_cuda_handle *handle = bs_cuda_handle_of(h);
    if (!handle || handle->reports)
        return handle ? handle->reports : NULL;
    bs_cuda_reports *own = bs_alloc(sizeof *own);
    if (!own) {
        bs_fail(&h->error, BS_NO_MEMORY, "no memory for reports of kernels");
        return NULL;
    }
    own->word = h->device->allocate(h->device, sizeof(uint64_t), &h->error);
    if (own->word && reset_word(h, own))
        return handle->reports = own;
    bs_cuda_close_reports(own);
    return NULL;
}

/* The id in a row, as a double; ids are a vector or a column. */
static double read_id(bs_handler *h, const bs_array *ids, int64_t row)
{
    const bs_array one = bs_array_packed((char *)ids->data +
                                             (size_t)(bs_rows(ids) > 1 ? row * ids->pitch : row) *
                                                 bs_dtype_size(ids->dtype),
                                         (bs_dtype)ids->dtype, 0, NULL);
    float f = 0;
    double d = 0;
    h->device->read(h->device, &one, ids->dtype == BS_F64 ? (void *)&d : &f, &h->error);
    return ids->dtype == BS_F64 ? d : (double)f;
}

static void report(bs_handler *h, const ticket *t, int64_t row)
{
    bs_error err = {0};
    if (t->ids.data)
        bs_fail(&err, BS_INDEX, "%s: id %.9g in row %lld is out of range [0, %lld)", t->op,
                read_id(h, &t->ids, row), (long long)row, (long long)t->n);
    else
        bs_fail(&err, BS_INDEX, "%s: argmax of image %lld is neither -1 nor a place in its window",
                t->op, (long long)row);
    if (t->layer && t->layer != h->running) /* a running layer is named by its program */
        bs_error_prefix(&err, "layer '%s'", t->layer);
    if (h->error.code == BS_OK)
        h->error = err;
}

static void read_reports(bs_handler *h, bs_cuda_reports *own)
{
    bs_cuda *cuda = bs_cuda_of(h);
    uint64_t word = UINT64_MAX;
    if (own->n == 0)
        return;
    own->n = 0;
    if (bs_cuda_enter(cuda, &h->error) != BS_OK ||
        BS_CUDA_CALL(cuda, &h->error, cuMemcpyDtoHAsync_v2, &word, (CUdeviceptr)own->word->data,
                     sizeof word, cuda->stream) != BS_OK ||
        BS_CUDA_CALL(cuda, &h->error, cuStreamSynchronize, cuda->stream) != BS_OK ||
        word == UINT64_MAX)
        return;
    report(h, &own->ticket[word >> 32], (int64_t)(word & UINT32_MAX));
    reset_word(h, own);
}

void bs_cuda_finish(bs_handler *h)
{
    const bs_cuda_handle *handle = h->impl;
    if (handle && handle->reports && !bs_cuda_is_in_step(h))
        read_reports(h, handle->reports);
}

int bs_cuda_open_report(bs_handler *h, const char *op, const bs_array *ids, int64_t n, bs_launch *l,
                        long long *number)
{
    bs_cuda_reports *own = h->error.code == BS_OK ? reports_of(h) : NULL;
    if (own && own->n == MAX_TICKETS) {
        bs_cuda_flush(h);
        read_reports(h, own);
    }
    if (!own || h->error.code != BS_OK)
        return 0;
    *number = own->n;
    l->args.array[BS_KERNEL_ARRAYS - 1].at = own->word->data;
    own->ticket[own->n] = (ticket){.op = op, .layer = h->running, .n = n};
    if (ids)
        own->ticket[own->n].ids = *ids;
    own->n++;
    return 1;
}
