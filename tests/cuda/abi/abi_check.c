/* abi_check.c - compiles if what driver.h and driver.def say about NVIDIA's libraries is what its
 * headers say. cuDNN has a check of its own, since it may be missing. */

/* Ours, under other names, where a header has another definition. */
#define CUresult                      our_CUresult
#define CUdevice                      our_CUdevice
#define CUdevice_attribute            our_CUdevice_attribute
#define CUmemPool_attribute           our_CUmemPool_attribute
#define CUpointer_attribute           our_CUpointer_attribute
#define nvrtcResult                   our_nvrtcResult
#define cublasStatus_t                our_cublasStatus_t
#define cublasOperation_t             our_cublasOperation_t
#define cublasMath_t                  our_cublasMath_t
#define CUDA_MEMCPY2D_st              our_CUDA_MEMCPY2D_st
#define CUDA_MEMCPY2D                 our_CUDA_MEMCPY2D
#define CUmemPoolProps_st             our_CUmemPoolProps_st
#define CUmemPoolProps                our_CUmemPoolProps
#define CUstreamCaptureMode           our_CUstreamCaptureMode
#define CUDA_KERNEL_NODE_PARAMS_v2_st our_CUDA_KERNEL_NODE_PARAMS_v2_st
#define CUDA_KERNEL_NODE_PARAMS       our_CUDA_KERNEL_NODE_PARAMS
#include "handlers/cuda/driver.h"
#undef CUresult
#undef CUdevice
#undef CUdevice_attribute
#undef CUmemPool_attribute
#undef CUpointer_attribute
#undef nvrtcResult
#undef cublasStatus_t
#undef cublasOperation_t
#undef cublasMath_t
#undef CUDA_MEMCPY2D_st
#undef CUDA_MEMCPY2D
#undef CUmemPoolProps_st
#undef CUmemPoolProps
#undef CUstreamCaptureMode
#undef CUDA_KERNEL_NODE_PARAMS_v2_st
#undef CUDA_KERNEL_NODE_PARAMS

#include <cuda.h>
#include <nvrtc.h>
#include <cublas_v2.h>

/* ---- functions ---- */

#define SAME(name, result, arguments)                                                              \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&name), result(*) arguments), #name);
#define BS_CUDA(name, arguments)   SAME(name, CUresult, arguments)
#define BS_NVRTC(name, arguments)  SAME(name, nvrtcResult, arguments)
#define BS_CUBLAS(name, arguments) SAME(name, cublasStatus_t, arguments)
#define BS_CUDNN(name, arguments, result)
#include "handlers/cuda/driver.def"

/* ---- types ---- */

#define SAME_SIZE(type) _Static_assert(sizeof(our_##type) == sizeof(type), #type);
SAME_SIZE(CUresult)
SAME_SIZE(CUdevice)
SAME_SIZE(CUdevice_attribute)
SAME_SIZE(CUmemPool_attribute)
SAME_SIZE(CUpointer_attribute)
SAME_SIZE(nvrtcResult)
SAME_SIZE(cublasStatus_t)
SAME_SIZE(cublasOperation_t)
SAME_SIZE(cublasMath_t)
SAME_SIZE(CUDA_MEMCPY2D)
SAME_SIZE(CUmemPoolProps)
SAME_SIZE(CUstreamCaptureMode)
SAME_SIZE(CUDA_KERNEL_NODE_PARAMS)

#define SAME_PLACE(type, field)                                                                    \
    _Static_assert(offsetof(our_##type, field) == offsetof(type, field), #field);
SAME_PLACE(CUDA_MEMCPY2D, srcXInBytes)
SAME_PLACE(CUDA_MEMCPY2D, srcY)
SAME_PLACE(CUDA_MEMCPY2D, srcMemoryType)
SAME_PLACE(CUDA_MEMCPY2D, srcHost)
SAME_PLACE(CUDA_MEMCPY2D, srcDevice)
SAME_PLACE(CUDA_MEMCPY2D, srcPitch)
SAME_PLACE(CUDA_MEMCPY2D, dstXInBytes)
SAME_PLACE(CUDA_MEMCPY2D, dstY)
SAME_PLACE(CUDA_MEMCPY2D, dstMemoryType)
SAME_PLACE(CUDA_MEMCPY2D, dstHost)
SAME_PLACE(CUDA_MEMCPY2D, dstDevice)
SAME_PLACE(CUDA_MEMCPY2D, dstPitch)
SAME_PLACE(CUDA_MEMCPY2D, WidthInBytes)
SAME_PLACE(CUDA_MEMCPY2D, Height)
SAME_PLACE(CUmemPoolProps, allocType)
SAME_PLACE(CUmemPoolProps, handleTypes)
SAME_PLACE(CUmemPoolProps, location.type)
SAME_PLACE(CUmemPoolProps, location.id)
SAME_PLACE(CUmemPoolProps, win32SecurityAttributes)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, func)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, gridDimX)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, gridDimY)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, gridDimZ)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, blockDimX)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, blockDimY)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, blockDimZ)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, sharedMemBytes)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, kernelParams)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, extra)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, kern)
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, ctx)

/* ---- constants ---- */

#define EQUAL(ours, theirs) _Static_assert((int)ours == (int)theirs, #ours);
EQUAL(BS_CU_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
EQUAL(BS_CU_CAPABILITY_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
EQUAL(BS_CU_MEMORY_POOLS, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)
EQUAL(BS_CU_PINNED, CU_MEM_ALLOCATION_TYPE_PINNED)
EQUAL(BS_CU_ON_DEVICE, CU_MEM_LOCATION_TYPE_DEVICE)
EQUAL(BS_CU_POOL_THRESHOLD, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
EQUAL(BS_CU_NO_TIMING, CU_EVENT_DISABLE_TIMING)
EQUAL(BS_CU_POINTER_KIND, CU_POINTER_ATTRIBUTE_MEMORY_TYPE)
EQUAL(BS_CU_POINTER_DEVICE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL)
EQUAL(BS_CU_INVALID_VALUE, CUDA_ERROR_INVALID_VALUE)
EQUAL(BS_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY)
EQUAL(BS_CU_CAPTURE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
EQUAL(BS_CU_NON_BLOCKING, CU_STREAM_NON_BLOCKING)
EQUAL(BS_CU_HOST, CU_MEMORYTYPE_HOST)
EQUAL(BS_CU_DEVICE, CU_MEMORYTYPE_DEVICE)
EQUAL(BS_CUBLAS_NO_TRANSPOSE, CUBLAS_OP_N)
EQUAL(BS_CUBLAS_TRANSPOSE, CUBLAS_OP_T)
EQUAL(BS_CUBLAS_PEDANTIC, CUBLAS_PEDANTIC_MATH)
EQUAL(BS_CUBLAS_TF32, CUBLAS_TF32_TENSOR_OP_MATH)
