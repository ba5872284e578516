/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor prompt behind Ctrl-a c: a line editor on the console and a few commands on the
 * running VM. */
#ifndef MONITOR_PROMPT_H
#define MONITOR_PROMPT_H

#include "monitor/vm.h"

struct prompt;

/* Hooks itself into vm->prompt. Call between vm_create and vm_run; destroyed after vm_run. */
WARN_UNUSED int prompt_create(struct prompt **out, struct vm *);
void prompt_destroy(struct prompt *);

/* Runs one command line, its answer to `out`. True: the prompt is to close. Device lock held. */
bool prompt_command(struct vm *, const char *line, FILE *out);

/* Prints the ranges the first vCPU's page tables map, with their rights. The vCPU is paused.
 * (prompt_mem.c) */
void prompt_info_mem(struct vm *, unsigned vcpu, FILE *out);

#endif
