/* SPDX-License-Identifier: BSD-2-Clause */
/* memcpy and its relatives by general registers alone. */
#include "lib/plain.h"

#include "lib/bits.h"

enum { STRING = 256 /* bytes from which on the processor's string instructions are quicker */ };

/* Keeps the compiler from making a call of memcpy out of a loop. */
static inline void no_idiom(void) { __asm__ volatile(""); }

static void string_copy(uint8_t *d, const uint8_t *s, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}

void *plain_memcpy(void *to, const void *from, size_t n)
{
    const uint8_t *s = from;
    uint8_t *d = to;

    if (n >= STRING) {
        string_copy(d, s, n);
        return to;
    }
    for (; n >= 8; n -= 8, d += 8, s += 8) {
        le64_put(d, le64(s));
        no_idiom();
    }
    for (; n; n--) {
        *d++ = *s++;
        no_idiom();
    }
    return to;
}

void *plain_memmove(void *to, const void *from, size_t n)
{
    const uint8_t *s = from;
    uint8_t *d = to;

    if ((uintptr_t)d - (uintptr_t)s >= n)
        return plain_memcpy(to, from, n);
    while (n--) {
        d[n] = s[n];
        no_idiom();
    }
    return to;
}

void *plain_memset(void *to, int byte, size_t n)
{
    uint8_t *d = to;

    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(byte) : "memory");
    return to;
}

int plain_memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n >= 8 && le64(x) == le64(y); n -= 8, x += 8, y += 8)
        no_idiom();
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

/* What compilers make of a memcmp whose sign nobody looks at. */
int plain_bcmp(const void *a, const void *b, size_t n) { return plain_memcmp(a, b, n); }
