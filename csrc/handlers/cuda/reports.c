/* reports.c - wrong data, as seen by kernels: ids out of range, numbers that are not finite.
 *
 * A kernel cannot raise an error, and to wait for each would be slow. So each call that looks at
 * data gets a ticket, and the lowest (ticket, row) of all that is wrong stays in words of the
 * device (common.cu), which are read when a pass ends. */
#include <string.h>

#include "handlers/cuda/cuda.h"

enum { MAX_TICKETS = 64 };

typedef struct ticket {
    bs_cuda_claim claim;
    const char *text, *layer; /* layer: of h->running, or NULL */
    int64_t n;
} ticket;

typedef struct bs_cuda_reports {
    bs_block *words; /* BS_REPORT_WORDS */
    int n;
    ticket ticket[MAX_TICKETS];
} bs_cuda_reports;

static bs_status reset_words(bs_handler *h, const bs_cuda_reports *own)
{
    bs_cuda *cuda = bs_cuda_of(h);
    return BS_CUDA_CALL(cuda, &h->error, cuMemsetD8Async, (CUdeviceptr)own->words->data, 0xff,
                        own->words->bytes, cuda->stream);
}

void *bs_cuda_report_words(const bs_handler *h)
{
    const bs_cuda_handle *handle = h->impl;
    return handle && handle->reports ? handle->reports->words->data : NULL;
}

void bs_cuda_close_reports(bs_cuda_reports *reports)
{
    if (reports)
        bs_block_release(reports->words);
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
    own->words = h->device->allocate(h->device, BS_REPORT_WORDS * sizeof(uint64_t), &h->error);
    if (own->words && reset_words(h, own) == BS_OK)
        return handle->reports = own;
    bs_cuda_close_reports(own);
    return NULL;
}

/* The number in the words of a report. */
static double number_of(const uint64_t *words, bs_dtype dtype)
{
    const uint64_t part = ((uint64_t)1 << BS_REPORT_BITS) - 1;
    uint64_t bits = 0;
    float f;
    double d;
    for (int k = 0; k < BS_REPORT_WORDS; k++)
        bits |= (words[k] & part) << k * BS_REPORT_BITS;
    const uint32_t low = (uint32_t)bits;
    memcpy(&f, &low, sizeof f);
    memcpy(&d, &bits, sizeof d);
    return dtype == BS_F64 ? d : (double)f;
}

/* Says what the words say. */
static void tell(bs_handler *h, const bs_cuda_reports *own, const uint64_t *words)
{
    const uint64_t key = words[0] >> BS_REPORT_BITS;
    const ticket *t = &own->ticket[key >> 32];
    const long long row = (long long)(key & UINT32_MAX);
    bs_error err = {0};
    switch (t->claim) {
    case BS_CUDA_IDS:
        bs_fail(&err, BS_INDEX, "%s: id %.9g in row %lld is out of range [0, %lld)", t->text,
                number_of(words, h->dtype), row, (long long)t->n);
        break;
    case BS_CUDA_ARGMAX:
        bs_fail(&err, BS_INDEX, "%s: argmax of image %lld is neither -1 nor a place in its window",
                t->text, row);
        break;
    case BS_CUDA_FINITE: bs_fail(&err, BS_VALUE, "%s", t->text); break;
    }
    if (t->layer && t->layer != h->running) /* a running layer is named by its program */
        bs_error_prefix(&err, "layer '%s'", t->layer);
    if (h->error.code == BS_OK)
        h->error = err;
}

static void read_reports(bs_handler *h, bs_cuda_reports *own)
{
    bs_cuda *cuda = bs_cuda_of(h);
    uint64_t words[BS_REPORT_WORDS];
    if (own->n == 0)
        return;
    own->n = 0;
    if (bs_cuda_enter(cuda, &h->error) != BS_OK ||
        BS_CUDA_CALL(cuda, &h->error, cuMemcpyDtoHAsync_v2, words, (CUdeviceptr)own->words->data,
                     sizeof words, cuda->stream) != BS_OK ||
        BS_CUDA_CALL(cuda, &h->error, cuStreamSynchronize, cuda->stream) != BS_OK ||
        words[0] == UINT64_MAX)
        return;
    tell(h, own, words);
    reset_words(h, own);
}

void bs_cuda_finish(bs_handler *h)
{
    const bs_cuda_handle *handle = h->impl;
    if (handle && handle->reports && !bs_cuda_is_in_step(h))
        read_reports(h, handle->reports);
}

int bs_cuda_may_report(bs_handler *h, bs_launch *l, bs_cuda_claim claim, const char *text,
                       int64_t n)
{
    bs_cuda_reports *own = h->error.code == BS_OK ? reports_of(h) : NULL;
    if (own && own->n == MAX_TICKETS) {
        bs_cuda_flush(h);
        read_reports(h, own);
    }
    if (!own || h->error.code != BS_OK)
        return 0;
    l->args.array[BS_KERNEL_REPORT].at = own->words->data;
    l->args.size[BS_KERNEL_TICKET] = own->n;
    own->ticket[own->n++] = (ticket){.claim = claim, .text = text, .layer = h->running, .n = n};
    return 1;
}

void bs_cuda_expect_finite(bs_handler *h, const bs_array *a, const char *what)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_cuda_view view = bs_cuda_matrix(h, a, a->lead);
    bs_launch l = bs_launch_over(view.matrix.dim[0], view.matrix.dim[1]);
    bs_launch_array(&l, 0, &view.matrix);
    if (bs_cuda_may_report(h, &l, BS_CUDA_FINITE, what, 0))
        bs_launch_places(h, BS_KERNEL_expect_finite, &l);
    bs_scratch_release(h, mark);
}
