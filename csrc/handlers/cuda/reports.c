/* reports.c - wrong data, as seen by kernels: ids out of range, numbers that are not finite.
 *
 * A kernel cannot raise an error, and to wait for each would be slow. So each call that looks at
 * data gets a ticket, and the lowest (ticket, row) of all that is wrong stays in words of the
 * device (common.cu). When a pass or a step ends, they are sent to the host and reset. A pass waits
 * for them; those of a step are looked at when the next one has been handed in, so that the device
 * always has work. */
#include <string.h>

#include "handlers/cuda/cuda.h"

enum { MAX_TICKETS = 64 };

typedef struct ticket {
    bs_cuda_claim claim;
    const char *text, *layer; /* layer: of h->running, or NULL */
    int64_t n;
} ticket;

typedef struct tickets {
    int n;
    ticket at[MAX_TICKETS];
} tickets;

typedef struct bs_cuda_reports {
    bs_block *words; /* BS_REPORT_WORDS */
    tickets open;    /* of what was handed in since the last sending */
    tickets sent;    /* of what is on its way */
    int is_of_step;  /* what is on its way */
    uint64_t *host;  /* pinned: where the words arrive */
    CUevent arrival;
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

void bs_cuda_close_reports(bs_cuda *cuda, bs_cuda_reports *reports)
{
    if (!reports)
        return;
    if (bs_cuda_enter_to_release(cuda)) {
        cuda->driver->cuStreamSynchronize(cuda->stream); /* something may be on its way */
        if (reports->arrival)
            cuda->driver->cuEventDestroy_v2(reports->arrival);
        if (reports->host)
            cuda->driver->cuMemFreeHost(reports->host);
    }
    bs_block_release(reports->words);
    bs_free(reports);
}

static bs_status open_reports(bs_handler *h, bs_cuda_reports *out)
{
    bs_cuda *cuda = bs_cuda_of(h);
    const size_t bytes = BS_REPORT_WORDS * sizeof *out->host;
    void *host;
    if (!(out->words = h->device->allocate(h->device, bytes, &h->error)))
        return h->error.code;
    BS_TRY(reset_words(h, out));
    BS_TRY(BS_CUDA_CALL(cuda, &h->error, cuMemHostAlloc, &host, bytes, 0));
    out->host = host;
    return BS_CUDA_CALL(cuda, &h->error, cuEventCreate, &out->arrival, BS_CU_NO_TIMING);
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
    if (open_reports(h, own) == BS_OK)
        return handle->reports = own;
    bs_cuda_close_reports(bs_cuda_of(h), own);
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

/* Says what has arrived. */
static void tell(bs_handler *h, const bs_cuda_reports *own)
{
    const uint64_t key = own->host[0] >> BS_REPORT_BITS;
    const ticket *t = &own->sent.at[key >> 32];
    const long long row = (long long)(key & UINT32_MAX);
    const char *when = own->is_of_step ? ", in the update before" : "";
    bs_error err = {0};
    h->left_out += own->is_of_step;
    switch (t->claim) {
    case BS_CUDA_IDS:
        bs_fail(&err, BS_INDEX, "%s: id %.9g in row %lld is out of range [0, %lld)%s", t->text,
                number_of(own->host, h->dtype), row, (long long)t->n, when);
        break;
    case BS_CUDA_ARGMAX:
        bs_fail(&err, BS_INDEX,
                "%s: argmax of image %lld is neither -1 nor a place in its window%s", t->text, row,
                when);
        break;
    case BS_CUDA_FINITE: bs_fail(&err, BS_VALUE, "%s%s", t->text, when); break;
    }
    if (t->layer && t->layer != h->running) /* a running layer is named by its program */
        bs_error_prefix(&err, "layer '%s'", t->layer);
    if (h->error.code == BS_OK)
        h->error = err;
}

/* Waits for what is on its way. */
static void receive(bs_handler *h, bs_cuda_reports *own)
{
    bs_cuda *cuda = bs_cuda_of(h);
    if (own->sent.n == 0)
        return;
    if (bs_cuda_enter(cuda, &h->error) == BS_OK &&
        BS_CUDA_CALL(cuda, &h->error, cuEventSynchronize, own->arrival) == BS_OK &&
        own->host[0] != UINT64_MAX)
        tell(h, own);
    own->sent.n = 0;
}

static bs_status put_on_its_way(bs_handler *h, const bs_cuda_reports *own)
{
    bs_cuda *cuda = bs_cuda_of(h);
    BS_TRY(bs_cuda_enter(cuda, &h->error));
    BS_TRY(BS_CUDA_CALL(cuda, &h->error, cuMemcpyDtoHAsync_v2, own->host,
                        (CUdeviceptr)own->words->data, own->words->bytes, cuda->stream));
    BS_TRY(BS_CUDA_CALL(cuda, &h->error, cuEventRecord, own->arrival, cuda->stream));
    return reset_words(h, own);
}

/* There is one way, so what was sent before has to arrive first. After a failure nobody knows what
 * the words say: the next ticket gets new ones. */
static void send(bs_handler *h, int is_of_step)
{
    bs_cuda_handle *handle = h->impl;
    bs_cuda_reports *own = handle ? handle->reports : NULL;
    if (own)
        receive(h, own);
    if (!own || own->open.n == 0)
        return;
    if (put_on_its_way(h, own) != BS_OK) {
        bs_cuda_close_reports(bs_cuda_of(h), own);
        handle->reports = NULL;
        return;
    }
    own->sent = own->open;
    own->is_of_step = is_of_step;
    own->open.n = 0;
}

static void send_and_receive(bs_handler *h)
{
    const bs_cuda_handle *handle = h->impl;
    send(h, 0);
    if (handle && handle->reports)
        receive(h, handle->reports);
}

void bs_cuda_end_reports(bs_handler *h)
{
    send(h, 1);
}

void bs_cuda_finish(bs_handler *h)
{
    if (!bs_cuda_is_in_step(h))
        send_and_receive(h);
}

int bs_cuda_may_report(bs_handler *h, bs_launch *l, bs_cuda_claim claim, const char *text,
                       int64_t n)
{
    bs_cuda_reports *own = h->error.code == BS_OK ? reports_of(h) : NULL;
    if (own && own->open.n == MAX_TICKETS) {
        bs_cuda_flush(h);
        send_and_receive(h);
    }
    if (!own || h->error.code != BS_OK)
        return 0;
    l->args.array[BS_KERNEL_REPORT].at = own->words->data;
    l->args.size[BS_KERNEL_TICKET] = own->open.n;
    own->open.at[own->open.n++] = (ticket){
        .claim = claim, .text = text, .layer = h->running, .n = n};
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
