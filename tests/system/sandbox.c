/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox [no-exec] COMMAND…: runs a command, without root if we have it, under a seccomp filter
 * that refuses with EPERM every system call but those below. All of them are in the default profile
 * of container runtimes; what that profile denies (perf_event_open, userfaultfd, keyctl, io_uring,
 * ptrace, bpf, …) is denied here too, and much more. With no-exec, memory that is executable cannot
 * be made either, as under a strict policy.
 * [LINUX] Documentation/userspace-api/seccomp_filter.rst
 */
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const unsigned allowed[] = {
    SYS_access,
    SYS_arch_prctl,
    SYS_brk,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_clone,
    SYS_clone3,
    SYS_close,
    SYS_eventfd2,
    SYS_execve,
    SYS_exit,
    SYS_exit_group,
    SYS_fcntl,
    SYS_flock,
    SYS_fstat,
    SYS_ftruncate,
    SYS_futex,
    SYS_getpid,
    SYS_getppid,
    SYS_getrandom,
    SYS_gettid,
    SYS_ioctl,
    SYS_kill,
    SYS_lseek,
    SYS_madvise,
    SYS_memfd_create,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_munmap,
    SYS_newfstatat,
    SYS_openat,
    SYS_pipe2,
    SYS_poll,
    SYS_ppoll,
    SYS_prctl,
    SYS_pread64,
    SYS_prlimit64,
    SYS_read,
    SYS_readlink,
    SYS_restart_syscall,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_setpgid,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_timer_create,
    SYS_timer_delete,
    SYS_timer_settime,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_uname,
    SYS_wait4,
    SYS_write,
    SYS_writev,
};

enum { COUNT = sizeof(allowed) / sizeof(allowed[0]) };
#define ERROR(e) (SECCOMP_RET_ERRNO | (e))
#define FIELD(f) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, f))
#define END(v)   BPF_STMT(BPF_RET | BPF_K, (v))

static int confine(int no_exec)
{
    struct sock_filter f[2 * COUNT + 16];
    unsigned n = 0;

    f[n++] = (struct sock_filter)FIELD(arch);
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    f[n++] = (struct sock_filter)END(SECCOMP_RET_KILL_PROCESS);
    f[n++] = (struct sock_filter)FIELD(nr);
    if (no_exec) { /* mprotect(…, PROT_EXEC): the program itself is mapped by mmap */
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4);
        f[n++] = (struct sock_filter)FIELD(args[2]);
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
        f[n++] = (struct sock_filter)END(ERROR(EACCES));
        f[n++] = (struct sock_filter)FIELD(nr);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
        f[n++] = (struct sock_filter)END(SECCOMP_RET_ALLOW);
    }
    f[n++] = (struct sock_filter)END(ERROR(EPERM));
    const struct sock_fprog p = { .len = (unsigned short)n, .filter = f };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
}

int main(int argc, char **argv)
{
    enum { NOBODY = 65534 };
    int no_exec = argc > 1 && !strcmp(argv[1], "no-exec");

    argv += 1 + no_exec;
    if (!*argv) {
        fprintf(stderr, "usage: sandbox [no-exec] COMMAND...\n");
        return 2;
    }
    if (!getuid() && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))) {
        perror("sandbox: setuid");
        return 3;
    }
    if (confine(no_exec)) {
        perror("sandbox: seccomp");
        return 77;
    }
    execv(*argv, argv);
    perror(*argv);
    return 3;
}
