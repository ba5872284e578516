/* SPDX-License-Identifier: BSD-2-Clause */
/* Opcode maps of the EVEX encoding. [SDM] vol. 2. */
#include "isa/x86/decode_operands.h"

const struct x86_node x86_map_evex[6][256] = { { U_ } };
