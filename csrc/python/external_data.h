/* external_data.h - from a dict of arrays to the outputs of the Input layer. */
#ifndef BS_PYTHON_EXTERNAL_DATA_H
#define BS_PYTHON_EXTERNAL_DATA_H

#include "python/core.h"

/* Reads T and B from the data, makes room, casts and copies. The caller holds the network. 0, or -1
 * with an exception (then the buffers hold what they held, unless copying itself failed). */
int bs_provide_external_data(bs_network *net, PyObject *data, int all_inputs);

#endif
