/* SPDX-License-Identifier: BSD-2-Clause */
/* Soak programs: `work` computes figures that depend on every step; `hog MB` holds memory, checks
 * and changes it until killed. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t seed = 88172645463325252u;
static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void work(void)
{
    enum { N = 30000 };
    static uint64_t v[N];
    static double m[60][60], p[60][60];
    char text[64];
    uint64_t h = 0;
    double s = 0;
    for (int i = 0; i < N; i++)
        v[i] = rnd();
    qsort(v, N, sizeof(v[0]), by_value);
    for (int i = 0; i < N; i++)
        h = h * 31 + v[i];
    printf("sort %016lx\n", (unsigned long)h);
    for (int i = 0; i < 60; i++)
        for (int j = 0; j < 60; j++)
            m[i][j] = 1.0 / (i + j + 1);
    for (int i = 0; i < 60; i++)
        for (int j = 0; j < 60; j++)
            for (int k = 0; k < 60; k++)
                p[i][j] += m[i][k] * m[k][j];
    for (int i = 0; i < 60; i++)
        s += p[i][59 - i] / (i + 1);
    printf("matrix %.17g\n", s);
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "%d %.5e %lx", i, i / 7.0, (unsigned long)(rnd() >> 7));
        for (char *c = text; *c; c++)
            h = (h ^ (unsigned char)*c) * 1099511628211u;
    }
    printf("text %016lx\n", (unsigned long)h);
    void *kept[256] = { NULL };
    for (int i = 0; i < 20000; i++) {
        unsigned k = rnd() % 256, n = (unsigned)(rnd() % 2000);
        free(kept[k]);
        kept[k] = malloc(n + 1);
        memset(kept[k], (int)n, n + 1);
        h += ((unsigned char *)kept[k])[n / 2];
    }
    printf("heap %016lx\n", (unsigned long)h);
    int good = 0;
    for (int i = 0; i < 30; i++) {
        pid_t child = fork();
        if (!child)
            _exit(i);
        int status = 0;
        good += waitpid(child, &status, 0) == child && WEXITSTATUS(status) == i;
    }
    printf("children %d\n", good);
}

static void hog(size_t mb)
{
    const size_t words = (mb << 20) / 8;
    uint64_t *p = malloc(words * 8), k = 0;
    if (!p)
        return;
    for (size_t i = 0; i < words; i++)
        p[i] = i;
    for (;; k++) {
        for (size_t i = k % 512; i < words; i += 512) {
            if (p[i] != i + (k / 512))
                printf("hog: %zx holds %lx\n", i, (unsigned long)p[i]);
            p[i] = i + k / 512 + 1;
        }
        usleep(2000);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "hog"))
        hog((size_t)atoi(argv[2]));
    work();
    return 0;
}
