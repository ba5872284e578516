/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-modifying guest in 64-bit mode. */
#include "guest/selfmod.c"
