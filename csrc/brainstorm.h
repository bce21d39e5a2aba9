/* brainstorm.h - the engine's public header, usable without Python: see examples/xor.c.
 *
 * A program opens a device (handlers), describes a graph of layers, builds a network from it,
 * writes data into Input's outputs and lets a stepper run. Functions that can fail return a
 * bs_status and put one line of text into a bs_error. */
#ifndef BRAINSTORM_H
#define BRAINSTORM_H

#include "array/array.h"
#include "array/shape.h"
#include "base/host.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/philox.h"
#include "base/status.h"
#include "base/subnormal.h"
#include "handlers/debug.h"
#include "handlers/handler.h"
#include "handlers/op_info.h"
#include "layers/layer.h"
#include "network/buffers.h"
#include "network/graph.h"
#include "network/layout.h"
#include "network/lone_layer.h"
#include "network/network.h"
#include "network/wiring.h"
#include "training/stepper.h"

#endif
