/* SPDX-License-Identifier: BSD-2-Clause */
/* The signal that interrupts KVM_RUN. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/kvm/kvm.h"

/* Not queued, so that any number of kicks is one. */
enum { KICK = SIGUSR1 };

static void do_nothing(int sig) { (void)sig; }

int kvm_signal_prepare(void)
{
    struct sigaction old, sa = { .sa_handler = do_nothing, .sa_flags = SA_RESTART };

    if (sigaction(KICK, NULL, &old) < 0)
        return -errno;
    if (old.sa_flags & SA_SIGINFO || (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN))
        return 0; /* the program's own handler serves as well: it only has to run */
    sigemptyset(&sa.sa_mask);
    return sigaction(KICK, &sa, NULL) < 0 ? -errno : 0;
}

void kvm_signal_admit(void)
{
    static __thread bool admitted;
    sigset_t set;

    if (admitted)
        return;
    sigemptyset(&set);
    sigaddset(&set, KICK);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    admitted = true;
}

void kvm_signal_send(pid_t thread)
{
    int saved = errno;

    syscall(SYS_tgkill, getpid(), thread, KICK);
    errno = saved;
}
