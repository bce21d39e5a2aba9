/* debug.h - a device that stands over another one and checks every call.
 *
 * Before an operation: every array is a well-formed view of the device's dtype, shapes fit and
 * outputs overlap nothing (bs_op_check), no number is NaN, and arrays that are read are finite.
 * Afterwards all arrays are finite; so what a pure output held before does not matter. A failure is
 * the handle's sticky error and names operation and argument.
 *
 * The operation itself is the other device's, fusions included, so the results have the same bits.
 * Memory is the other device's too. */
#ifndef BS_HANDLERS_DEBUG_H
#define BS_HANDLERS_DEBUG_H

#include "handlers/handler.h"

/* Opens a device over `inner`, which it retains. Fails: BS_TYPE (inner is such a device itself). */
bs_status bs_debug_open(bs_device **out, bs_device *inner, bs_error *err);

#endif
