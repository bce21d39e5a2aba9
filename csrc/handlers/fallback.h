/* fallback.h - optional operations expressed by required ones. */
#ifndef BS_HANDLERS_FALLBACK_H
#define BS_HANDLERS_FALLBACK_H

#include "handlers/handler.h"

/* Puts a fallback into every hole of an OPTIONAL row. */
void bs_fallback_fill(bs_ops *ops);

#endif
