/* SPDX-License-Identifier: BSD-2-Clause */
/* The process's terminal in raw mode, given back on every way out. */
#ifndef HOST_TTY_H
#define HOST_TTY_H

#include "lib/bits.h"

/* Puts the terminal on fd into raw mode. -ENOTTY if it is none or we are in its background, -EBUSY
 * if done already. Restored by tty_restore, at exit and by fatal signals that nobody handles. */
WARN_UNUSED int tty_raw(int fd);
void tty_restore(void); /* async-signal-safe; no-op if not raw */

#endif
