/* SPDX-License-Identifier: BSD-2-Clause */
/* memcpy and its relatives by general registers alone. Code that runs while a guest's vector
 * registers are in the processor's own is linked with these instead of libc's: see mk/plain.mk. */
#ifndef LIB_PLAIN_H
#define LIB_PLAIN_H

#include <stddef.h>

void *plain_memcpy(void *to, const void *from, size_t n);
void *plain_memmove(void *to, const void *from, size_t n);
void *plain_memset(void *to, int byte, size_t n);
int plain_memcmp(const void *a, const void *b, size_t n);
int plain_bcmp(const void *a, const void *b, size_t n);

#endif
