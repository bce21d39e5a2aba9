/* fallback.h - optional operations expressed by required ones. */
#ifndef BS_HANDLERS_FALLBACK_H
#define BS_HANDLERS_FALLBACK_H

#include "handlers/handler.h"

/* bs_fallback_<operation> for each OPTIONAL row. They run through the forwarders, so a failure
 * stops the rest. Those of required rows are declared too, and never defined. */
#define BS_OP(name, need, rule, signature, arguments, formula) bs_op_##signature bs_fallback_##name;
#include "handlers/ops.def"

/* Puts a fallback into every hole of an OPTIONAL row. */
void bs_fill_with_fallbacks(bs_ops *ops);

#endif
