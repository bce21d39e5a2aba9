/* driver.h - the functions of NVIDIA's libraries that we call, as tables that are filled when a
 * handler is opened. No header of CUDA is needed to build them, nor is any library linked. */
#ifndef BS_HANDLERS_CUDA_DRIVER_H
#define BS_HANDLERS_CUDA_DRIVER_H

#include <stddef.h>

#include "base/status.h"

#ifndef BS_WITH_CUDA_HEADERS /* a test compares our prototypes with NVIDIA's */
typedef int CUresult, CUdevice, CUdevice_attribute, nvrtcResult, cublasStatus_t, cublasOperation_t,
    cublasMath_t;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct _nvrtcProgram *nvrtcProgram;
typedef struct cublasContext *cublasHandle_t;
typedef struct CUDA_MEMCPY2D_st { /* Height rows of WidthInBytes bytes */
    size_t srcXInBytes, srcY;
    int srcMemoryType;
    const void *srcHost;
    CUdeviceptr srcDevice;
    void *srcArray;
    size_t srcPitch;
    size_t dstXInBytes, dstY;
    int dstMemoryType;
    void *dstHost;
    CUdeviceptr dstDevice;
    void *dstArray;
    size_t dstPitch;
    size_t WidthInBytes, Height;
} CUDA_MEMCPY2D;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUgraphNode_st *CUgraphNode;
typedef int CUstreamCaptureMode;
typedef struct CUDA_KERNEL_NODE_PARAMS_v2_st {
    CUfunction func;
    unsigned int gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    void **kernelParams, **extra;
    void *kern;
    CUcontext ctx;
} CUDA_KERNEL_NODE_PARAMS;
#endif

/* Constants of cuda.h and cublas_v2.h. */
enum {
    BS_CU_MULTIPROCESSOR_COUNT = 16,
    BS_CU_CAPABILITY_MAJOR = 75,
    BS_CU_CAPABILITY_MINOR = 76,
    BS_CU_OUT_OF_MEMORY = 2,
    BS_CU_HOST = 1, /* kinds of memory */
    BS_CU_DEVICE = 2,
    BS_CU_CAPTURE_THREAD_LOCAL = 1,
    BS_CU_NON_BLOCKING = 1,
    BS_CUBLAS_NO_TRANSPOSE = 0,
    BS_CUBLAS_TRANSPOSE = 1,
    BS_CUBLAS_PEDANTIC = 2,
    BS_CUBLAS_TF32 = 3
};

typedef struct bs_cuda_driver {
#define BS_CUDA(name, arguments)   CUresult(*name) arguments;
#define BS_NVRTC(name, arguments)  nvrtcResult(*name) arguments;
#define BS_CUBLAS(name, arguments) cublasStatus_t(*name) arguments;
#include "handlers/cuda/driver.def"
} bs_cuda_driver;

/* The functions of all libraries, which are opened once in a process and never closed. BS_DEVICE:
 * what is missing and how to install it. */
bs_status bs_cuda_driver_load(const bs_cuda_driver **out, bs_error *err);

#endif
