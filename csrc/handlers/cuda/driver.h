/* driver.h - the functions of NVIDIA's libraries that we call, as tables that are filled when a
 * handler is opened. No header of CUDA is needed to build them, nor is any library linked. */
#ifndef BS_HANDLERS_CUDA_DRIVER_H
#define BS_HANDLERS_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* ---- types; a test compares them and the functions with NVIDIA's headers ---- */

typedef int CUresult, CUdevice, CUdevice_attribute, CUpointer_attribute, CUmemPool_attribute,
    nvrtcResult, cublasStatus_t, cublasOperation_t, cublasMath_t, cudnnStatus_t,
    cudnnBackendDescriptorType_t, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef struct _nvrtcProgram *nvrtcProgram;
typedef struct cublasContext *cublasHandle_t;
typedef struct cudnnContext *cudnnHandle_t;
typedef void *cudnnBackendDescriptor_t;
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
typedef struct CUmemPoolProps_st {
    int allocType, handleTypes;
    struct {
        int type, id;
    } location;
    void *win32SecurityAttributes;
    unsigned char reserved[64]; /* newer headers have names for some of it */
} CUmemPoolProps;
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

/* ---- constants ---- */

/* Of cuda.h and cublas_v2.h. */
enum {
    BS_CU_CAPABILITY_MAJOR = 75,
    BS_CU_CAPABILITY_MINOR = 76,
    BS_CU_MEMORY_POOLS = 115,
    BS_CU_INVALID_VALUE = 1,
    BS_CU_OUT_OF_MEMORY = 2,
    BS_CU_POINTER_KIND = 2,
    BS_CU_POINTER_DEVICE = 9,
    BS_CU_PINNED = 1,    /* how memory of a pool is allocated, */
    BS_CU_ON_DEVICE = 1, /* and where */
    BS_CU_POOL_THRESHOLD = 4,
    BS_CU_NO_TIMING = 2,
    BS_CU_HOST = 1, /* kinds of memory */
    BS_CU_DEVICE = 2,
    BS_CU_CAPTURE_THREAD_LOCAL = 1,
    BS_CU_NON_BLOCKING = 1,
    BS_CUBLAS_NO_TRANSPOSE = 0,
    BS_CUBLAS_TRANSPOSE = 1,
    BS_CUBLAS_PEDANTIC = 2,
    BS_CUBLAS_TF32 = 3
};

/* Of cudnn_graph.h. */
enum {
    /* kinds of descriptors */
    BS_CUDNN_CONVOLUTION = 1,
    BS_CUDNN_ENGINE = 2,
    BS_CUDNN_CONFIG = 3,
    BS_CUDNN_HEURISTICS = 4,
    BS_CUDNN_PLAN = 5,
    BS_CUDNN_FORWARD = 10,
    BS_CUDNN_BACKWARD_FILTER = 11,
    BS_CUDNN_BACKWARD_DATA = 12,
    BS_CUDNN_GRAPH = 15,
    BS_CUDNN_PACK = 16,
    BS_CUDNN_TENSOR = 17,
    /* attributes of each kind; those of the three operations continue in the order beta,
     * convolution, weights, images, out */
    BS_CUDNN_CONVOLUTION_TYPE = 100,
    BS_CUDNN_CONVOLUTION_MODE = 101,
    BS_CUDNN_CONVOLUTION_DILATIONS = 102,
    BS_CUDNN_CONVOLUTION_STRIDES = 103,
    BS_CUDNN_CONVOLUTION_POST_PADDINGS = 104,
    BS_CUDNN_CONVOLUTION_PRE_PADDINGS = 105,
    BS_CUDNN_CONVOLUTION_DIMENSIONS = 106,
    BS_CUDNN_HEURISTICS_MODE = 200,
    BS_CUDNN_HEURISTICS_GRAPH = 201,
    BS_CUDNN_HEURISTICS_RESULTS = 202,
    BS_CUDNN_HEURISTICS_DEVICE = 204,
    BS_CUDNN_CONFIG_ENGINE = 300,
    BS_CUDNN_PLAN_HANDLE = 400,
    BS_CUDNN_PLAN_CONFIG = 401,
    BS_CUDNN_PLAN_WORKSPACE = 402,
    BS_CUDNN_PLAN_DEVICE = 407,
    BS_CUDNN_FORWARD_ALPHA = 700,
    BS_CUDNN_BACKWARD_DATA_ALPHA = 706,
    BS_CUDNN_BACKWARD_FILTER_ALPHA = 712,
    BS_CUDNN_GRAPH_HANDLE = 800,
    BS_CUDNN_GRAPH_OPERATIONS = 801,
    BS_CUDNN_TENSOR_ALIGNMENT = 900,
    BS_CUDNN_TENSOR_TYPE = 901,
    BS_CUDNN_TENSOR_DIMENSIONS = 902,
    BS_CUDNN_TENSOR_STRIDES = 903,
    BS_CUDNN_TENSOR_ID = 906,
    BS_CUDNN_PACK_IDS = 1000,
    BS_CUDNN_PACK_POINTERS = 1001,
    BS_CUDNN_PACK_WORKSPACE = 1003,
    BS_CUDNN_ENGINE_NUMERICAL_NOTES = 1303,
    /* types of attributes */
    BS_CUDNN_OF_HANDLE = 0,
    BS_CUDNN_OF_DATA_TYPE = 1,
    BS_CUDNN_OF_INT64 = 3,
    BS_CUDNN_OF_FLOAT = 4,
    BS_CUDNN_OF_POINTER = 6,
    BS_CUDNN_OF_CONVOLUTION_MODE = 7,
    BS_CUDNN_OF_HEURISTICS_MODE = 8,
    BS_CUDNN_OF_NUMERICAL_NOTE = 11,
    BS_CUDNN_OF_DESCRIPTOR = 15,
    /* values */
    BS_CUDNN_FLOAT = 0,
    BS_CUDNN_CROSS_CORRELATION = 1,
    BS_CUDNN_MODE_FALLBACK = 2,
    BS_CUDNN_MODE_A = 3,
    BS_CUDNN_NOTE_TENSOR_CORE = 0,
    BS_CUDNN_NOTE_STRICT_NAN = 9
};

/* ---- functions ---- */

typedef struct bs_cuda_driver {
    int has_cudnn; /* else its functions are not there */
#define BS_CUDA(name, arguments)          CUresult(*name) arguments;
#define BS_NVRTC(name, arguments)         nvrtcResult(*name) arguments;
#define BS_CUBLAS(name, arguments)        cublasStatus_t(*name) arguments;
#define BS_CUDNN(name, arguments, result) result(*name) arguments;
#include "handlers/cuda/driver.def"
} bs_cuda_driver;

/* The functions of all libraries, which are opened once in a process and never closed. BS_DEVICE:
 * what is missing and how to install it; cuDNN may be missing. */
bs_status bs_cuda_driver_load(const bs_cuda_driver **out, bs_error *err);
/* cuInit. BS_DEVICE also where it was called before a fork, which CUDA does not survive. */
bs_status bs_cuda_driver_init(const bs_cuda_driver *driver, bs_error *err);

#endif
