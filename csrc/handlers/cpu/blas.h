/* blas.h - products of matrices from a BLAS library that is loaded at run time, if there is one.
 *
 * It is `libbrainstorm_blas.so` beside this module, a private copy of OpenBLAS held to one thread:
 * the pool of base/parallel.c is what runs in parallel. BRAINSTORM_BLAS=none takes none, =system
 * the one of the machine, =/path/to/lib that one. Where nobody asks for a BLAS, the engine's own
 * kernels do everything. */
#ifndef BS_HANDLERS_CPU_BLAS_H
#define BS_HANDLERS_CPU_BLAS_H

#include "base/status.h"

enum { BS_BLAS_ROW_MAJOR = 101, BS_BLAS_NO_TRANS = 111, BS_BLAS_TRANS = 112 };

typedef void bs_blas_sgemm(int order, int transa, int transb, int m, int n, int k, float alpha,
                           const float *a, int lda, const float *b, int ldb, float beta, float *c,
                           int ldc);
typedef void bs_blas_dgemm(int order, int transa, int transb, int m, int n, int k, double alpha,
                           const double *a, int lda, const double *b, int ldb, double beta,
                           double *c, int ldc);

typedef struct bs_blas {
    bs_blas_sgemm *sgemm;
    bs_blas_dgemm *dgemm;
} bs_blas;

/* The library, loaded at the first call, or NULL. */
const bs_blas *bs_blas_get(void);

/* Whether it is one that the user has chosen. */
int bs_blas_is_named(void);

/* Where it was found: a file name, or "none". */
const char *bs_blas_name(void);

/* BS_DEVICE if BRAINSTORM_BLAS names a library that cannot be loaded. */
bs_status bs_blas_check(bs_error *err);

#endif
