/* SPDX-License-Identifier: BSD-2-Clause */
/* Opcode maps of the VEX encoding. [SDM] vol. 2 appendix A. */
#include "isa/x86/decode_operands.h"

const struct x86_node x86_map_vex[3][256] = { { U_ } };
