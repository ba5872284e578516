/* SPDX-License-Identifier: BSD-2-Clause */
/* RFLAGS.RF in 64-bit mode. */
#include "guest/rf.c"
