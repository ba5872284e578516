/* SPDX-License-Identifier: BSD-2-Clause */
/* `trapeze run`: builds the VM, runs it, turns its outcome into an exit status. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "lib/log.h"
#include "monitor/gdb.h"
#include "monitor/prompt.h"
#include "monitor/vm.h"

struct signals {
    struct vm *vm;
    pthread_t thread;
    _Atomic bool done;
};

/* Ends the VM on a signal. A thread of its own takes them, so no handler runs among the VM's locks.
 */
static void *signal_thread(void *arg)
{
    struct signals *s = arg;
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    while (!s->done)
        if (!sigwait(&set, &sig) && !s->done)
            vm_end(s->vm, VM_QUIT, sig);
    return NULL;
}

static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int status_of(const struct vm *vm, enum vm_outcome outcome)
{
    switch (outcome) {
    case VM_POWEROFF: return CLI_OK;
    case VM_RESET: return CLI_RESET;
    case VM_TRIPLE_FAULT:
        log_err(LOG_VM, "the guest ended in a triple fault");
        return CLI_TRIPLE_FAULT;
    case VM_DEBUG_EXIT: return vm->exit_value & 0xff;
    case VM_QUIT: return CLI_QUIT;
    default:
        log_err(LOG_VM, "%s", vm->error[0] ? vm->error : "the engine could not go on");
        return CLI_INTERNAL;
    }
}

int cli_run(int argc, char **argv)
{
    struct config config;
    struct vm *vm = NULL;
    struct prompt *prompt = NULL;
    struct signals signals = { 0 };
    int ret = cli_parse_run(argc, argv, &config);
    if (ret)
        return ret < 0 ? CLI_OK : ret;
    block_signals();
    ret = vm_create(&vm, &config);
    if (!ret && config.gdb)
        ret = gdb_create(vm);
    if (!ret)
        ret = prompt_create(&prompt, vm);
    if (ret) {
        log_err(LOG_VM, "%s", vm && vm->error[0] ? vm->error : "out of memory");
        vm_destroy(vm);
        return CLI_SETUP;
    }
    signals.vm = vm;
    if (pthread_create(&signals.thread, NULL, signal_thread, &signals)) {
        log_err(LOG_VM, "cannot start a thread");
        vm_destroy(vm);
        return CLI_SETUP;
    }
    enum vm_outcome outcome = vm_run(vm);
    if (config.stats)
        vm_stats(vm, stderr);
    signals.done = true;
    pthread_kill(signals.thread, SIGTERM);
    pthread_join(signals.thread, NULL);
    gdb_destroy(vm);
    prompt_destroy(prompt);
    ret = status_of(vm, outcome);
    if (outcome == VM_INTERNAL_ERROR)
        exit(ret); /* a vCPU thread may be stuck in a broken engine: nothing can be torn down
                       safely */
    vm_destroy(vm);
    return ret;
}
