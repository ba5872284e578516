/* SPDX-License-Identifier: BSD-2-Clause */
/* Benchmarks of what a kernel does for a program: system calls, page faults, processes, pipes; and
 * a stopwatch for whole programs. */
#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void wait_for(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status)
        die("child");
}

static uint64_t run_getppid(uint64_t n)
{
    while (n--)
        syscall(SYS_getppid);
    return 0;
}

static uint64_t run_pagefault(uint64_t n)
{
    enum { PAGES = 256, PAGE = 4096 };

    for (uint64_t done = 0; done < n; done += PAGES) {
        volatile char *p =
            mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            die("mmap");
        /* Huge pages would make one fault of all. */
        madvise((void *)p, PAGES * PAGE, MADV_NOHUGEPAGE);
        for (int i = 0; i < PAGES; i++)
            p[i * PAGE] = 1;
        munmap((void *)p, PAGES * PAGE);
    }
    return 0;
}

static uint64_t run_fork(uint64_t n)
{
    while (n--) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(0);
        wait_for(pid);
    }
    return 0;
}

static uint64_t run_exec(uint64_t n)
{
    while (n--) {
        pid_t pid = fork();

        if (pid == 0) {
            execl("/proc/self/exe", "system", "nothing", (char *)NULL);
            _exit(127);
        }
        wait_for(pid);
    }
    return 0;
}

static uint64_t run_pipe(uint64_t n)
{
    int there[2], back[2];
    pid_t pid;
    char c = 0;

    if (pipe(there) || pipe(back))
        die("pipe");
    pid = fork();
    if (pid == 0) {
        close(there[1]);
        while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
            ;
        _exit(0);
    }
    close(there[0]);
    while (n--)
        if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
            die("pipe");
    close(there[1]);
    wait_for(pid);
    close(back[0]);
    close(back[1]);
    return 0;
}

/* time NAME INPUT COMMAND…: the command's whole life, its output thrown away. */
static int time_program(char **argv)
{
    struct bench_time begin = bench_begin(argv[2]);
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        int in = open(argv[3], O_RDONLY), out = open("/dev/null", O_WRONLY);

        if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0)
            die(argv[3]);
        execvp(argv[4], argv + 4);
        die(argv[4]);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        die("fork");
    if (status == 0)
        bench_report(argv[2], begin, 0);
    return status != 0;
}

/* text BYTES: the input of whole programs. */
static int print_text(size_t size)
{
    char *text = malloc(size);

    if (!text)
        die("malloc");
    bench_text(text, size);
    fwrite(text, 1, size, stdout);
    free(text);
    return 0;
}

/* Guests have one processor; where the host has more, a wake-up across them would be measured
 * instead. */
static void stay_on_one_cpu(void)
{
    cpu_set_t one;
    int cpu = sched_getcpu();

    CPU_ZERO(&one);
    CPU_SET(cpu < 0 ? 0 : cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
}

int main(int argc, char **argv)
{
    static const struct bench_kernel list[] = {
        { "getppid", NULL, run_getppid, 900000 }, { "pagefault", NULL, run_pagefault, 81920 },
        { "fork", NULL, run_fork, 1200 },         { "exec", NULL, run_exec, 150 },
        { "pipe", NULL, run_pipe, 30000 },        { NULL, NULL, NULL, 0 },
    };
    static const struct bench_kernel *const lists[] = { list, NULL };

    if (argc == 2 && !strcmp(argv[1], "nothing"))
        return 0;
    if (argc == 3 && !strcmp(argv[1], "text"))
        return print_text(strtoul(argv[2], NULL, 10));
    stay_on_one_cpu();
    if (argc > 4 && !strcmp(argv[1], "time"))
        return time_program(argv);
    return bench_main(argc, argv, lists);
}
