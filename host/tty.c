/* SPDX-License-Identifier: BSD-2-Clause */
/* Raw mode of the terminal and its return, also when the process dies. */
#include "host/tty.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* Process-wide like the terminal itself: signal handlers must find it. */
static struct termios saved;
static atomic_int raw_fd = -1;

void tty_restore(void)
{
    int e = errno, fd = atomic_exchange(&raw_fd, -1);
    if (fd >= 0)
        tcsetattr(fd, TCSANOW, &saved); /* not TCSADRAIN: a stopped terminal would hold us */
    errno = e;
}

static void on_fatal(int sig)
{
    tty_restore();
    signal(sig, SIG_DFL);
    raise(sig); /* blocked until we return; a fault happens again by itself */
}

int tty_raw(int fd)
{
    static const int fatal[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS,
                                 SIGILL, SIGFPE, SIGALRM, SIGUSR2, SIGXCPU, SIGXFSZ, SIGVTALRM };
    static atomic_flag hooked = ATOMIC_FLAG_INIT;
    struct termios raw;

    if (!isatty(fd) || tcgetpgrp(fd) != getpgrp())
        return -ENOTTY;
    if (raw_fd >= 0)
        return -EBUSY;
    if (tcgetattr(fd, &saved) < 0)
        return -errno;
    if (!atomic_flag_test_and_set(&hooked))
        atexit(tty_restore);
    /* Who has a handler (an engine that takes faults, a sanitizer, the command) keeps it. */
    for (unsigned i = 0; i < ARRAY_LEN(fatal); i++) {
        struct sigaction old, sa = { .sa_handler = on_fatal };
        if (!sigaction(fatal[i], NULL, &old) && !(old.sa_flags & SA_SIGINFO) &&
            old.sa_handler == SIG_DFL)
            sigaction(fatal[i], &sa, NULL);
    }
    raw = saved;
    raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON | PARMRK);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0; /* OPOST stays: our own messages end in a bare newline */
    raw_fd = fd;
    if (tcsetattr(fd, TCSANOW, &raw) < 0) {
        int e = -errno;
        raw_fd = -1;
        return e;
    }
    return 0;
}
