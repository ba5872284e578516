/* SPDX-License-Identifier: BSD-2-Clause */
/* Stopping, restarting and ending vCPU threads, on an engine that only obeys kicks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/loop.h"
#include "monitor/internal.h"
#include "unit.h"

struct fake_vcpu {
    struct engine_vcpu base;
    struct kvm_run run;
    uint8_t io_data[64]; /* follows it, as in KVM's mapping */
    pthread_mutex_t lock;
    pthread_cond_t kicked_changed;
    bool kicked;
    int next_exit; /* what the next run does: 0: waits for a kick, else this exit reason */
    unsigned runs, entered_while_paused;
    bool deaf; /* kicks have no effect */
};

static bool must_not_run;

static int fake_run(struct engine_vcpu *v)
{
    struct fake_vcpu *f = container_of(v, struct fake_vcpu, base);
    pthread_mutex_lock(&f->lock);
    f->runs++;
    if (f->kicked) {
        f->kicked = false;
        pthread_mutex_unlock(&f->lock);
        return -EINTR;
    }
    if (__atomic_load_n(&must_not_run, __ATOMIC_RELAXED))
        f->entered_while_paused++;
    if (f->next_exit) {
        f->run.exit_reason = (uint32_t)f->next_exit;
        f->next_exit = 0;
        pthread_mutex_unlock(&f->lock);
        return 0;
    }
    while (!f->kicked)
        pthread_cond_wait(&f->kicked_changed, &f->lock);
    f->kicked = false;
    pthread_mutex_unlock(&f->lock);
    return -EINTR;
}

static void fake_kick(struct engine_vcpu *v)
{
    struct fake_vcpu *f = container_of(v, struct fake_vcpu, base);
    pthread_mutex_lock(&f->lock);
    if (!f->deaf)
        f->kicked = true;
    pthread_cond_signal(&f->kicked_changed);
    pthread_mutex_unlock(&f->lock);
}

static int fake_get_regs(struct engine_vcpu *v, struct kvm_regs *r)
{
    (void)v, (void)r;
    return -EIO;
}

static const struct engine_ops fake_ops = {
    .name = "fake", .run = fake_run, .kick = fake_kick, .get_regs = fake_get_regs
};

enum { CPUS = 3 };
static struct vm vm;
static struct vcpu vcpu[CPUS];
static struct fake_vcpu fake[CPUS];
static const struct config config = { .cpus = CPUS, .no_reboot = true };

static void setup(void)
{
    pthread_mutexattr_t attr;
    memset(&vm, 0, sizeof(vm));
    memset(vcpu, 0, sizeof(vcpu));
    memset(fake, 0, sizeof(fake));
    vm.config = &config;
    vm.ops = &fake_ops;
    vm.vcpu = vcpu;
    vm.vcpus = CPUS;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&vm.lock, &attr);
    control_init(&vm.control);
    bus_init(&vm.pio, "pio");
    bus_init(&vm.mmio, "mmio");
    CHECK_EQ(loop_create(&vm.loop, &vm.lock), 0);
    for (unsigned i = 0; i < CPUS; i++) {
        fake[i].base.ops = &fake_ops;
        fake[i].base.run = &fake[i].run;
        pthread_mutex_init(&fake[i].lock, NULL);
        pthread_cond_init(&fake[i].kicked_changed, NULL);
        vcpu[i] = (struct vcpu){ .vm = &vm, .vcpu = &fake[i].base, .id = i };
    }
}

static void teardown(void)
{
    loop_destroy(vm.loop);
    bus_destroy(&vm.pio);
    control_destroy(&vm.control);
}

static enum vm_outcome outcome;
static pthread_t runner;
static void *run(void *arg)
{
    (void)arg;
    outcome = vm_run(&vm);
    return NULL;
}
static void start(void) { CHECK_EQ(pthread_create(&runner, NULL, run, NULL), 0); }
static void finish(void) { CHECK_EQ(pthread_join(runner, NULL), 0); }

static void count(struct vcpu *v, void *arg)
{
    CHECK(v->paused || !v->started);
    ++*(unsigned *)arg;
}

static void *pauser(void *arg)
{
    unsigned *n = arg;
    for (unsigned i = 0; i < 200; i++) {
        vm_pause(&vm);
        __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
        vm_resume(&vm);
    }
    return NULL;
}

static void test_pause(void)
{
    unsigned n = 0, m = 0;
    pthread_t other;
    setup();
    start();
    for (unsigned i = 0; i < 300; i++) {
        vm_pause(&vm);
        __atomic_store_n(&must_not_run, true, __ATOMIC_RELAXED);
        for (unsigned k = 0; k < CPUS; k++)
            CHECK(!vcpu[k].started || vcpu[k].paused);
        vm_on_vcpu(&vm, i % CPUS, count, &n); /* nests */
        __atomic_store_n(&must_not_run, false, __ATOMIC_RELAXED);
        vm_resume(&vm);
    }
    CHECK_EQ(n, 300);
    for (unsigned k = 0; k < CPUS; k++)
        CHECK_EQ(fake[k].entered_while_paused, 0);

    /* Several at once, one of them with the device lock. */
    CHECK_EQ(pthread_create(&other, NULL, pauser, &m), 0);
    for (unsigned i = 0; i < 200; i++) {
        pthread_mutex_lock(&vm.lock);
        vm_pause(&vm);
        CHECK_EQ(pthread_mutex_lock(&vm.lock), EDEADLK); /* it is ours again */
        vm_resume(&vm);
        pthread_mutex_unlock(&vm.lock);
    }
    pthread_join(other, NULL);
    CHECK_EQ(m, 200);
    vm_end(&vm, VM_POWEROFF, 0);
    vm_end(&vm, VM_QUIT, 0); /* too late */
    finish();
    CHECK_EQ(outcome, VM_POWEROFF);
    teardown();
}

static void test_ends(void)
{
    static const struct {
        int reason;
        enum vm_outcome want;
    } ends[] = {
        { KVM_EXIT_SHUTDOWN, VM_TRIPLE_FAULT },     { KVM_EXIT_INTERNAL_ERROR, VM_INTERNAL_ERROR },
        { KVM_EXIT_FAIL_ENTRY, VM_INTERNAL_ERROR }, { KVM_EXIT_DEBUG, VM_INTERNAL_ERROR },
        { KVM_EXIT_NMI, VM_INTERNAL_ERROR },        { 4711, VM_INTERNAL_ERROR }
    };
    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        setup();
        fake[i % CPUS].next_exit = ends[i].reason;
        CHECK_EQ(vm_run(&vm), ends[i].want);
        CHECK_EQ(ends[i].want == VM_INTERNAL_ERROR, vm.error[0] != 0);
        for (unsigned k = 0; k < CPUS; k++)
            CHECK(vcpu[k].gone);
        teardown();
    }
    setup();
    fake[0].next_exit = KVM_EXIT_SYSTEM_EVENT;
    fake[0].run.system_event.type = KVM_SYSTEM_EVENT_RESET;
    CHECK_EQ(vm_run(&vm), VM_RESET); /* no_reboot */
    teardown();
    setup();
    vm_end(&vm, VM_DEBUG_EXIT, 33); /* before it began */
    CHECK_EQ(vm_run(&vm), VM_DEBUG_EXIT);
    CHECK_EQ(vm.exit_value, 33);
    teardown();
}

/* A debugger: stops everybody from the vCPU's own thread; another thread lets them go on. */
static pthread_t resumer;
static unsigned stops;

static void *resume_later(void *arg)
{
    unsigned n = 0;
    vm_on_vcpu(&vm, 1, count, &n);
    CHECK_EQ(n, 1);
    if (++stops == 3)
        vm_end(&vm, VM_QUIT, 0);
    else
        fake[1].next_exit = KVM_EXIT_DEBUG;
    vm_resume(&vm);
    return arg;
}

static bool on_debug(struct vcpu *v)
{
    CHECK_EQ(v->id, 1);
    if (stops)
        pthread_join(resumer, NULL);
    vm_pause(&vm);
    CHECK_EQ(pthread_create(&resumer, NULL, resume_later, NULL), 0);
    return true;
}

static void test_debug(void)
{
    setup();
    vm.on_debug = on_debug;
    fake[1].next_exit = KVM_EXIT_DEBUG;
    CHECK_EQ(vm_run(&vm), VM_QUIT);
    pthread_join(resumer, NULL);
    CHECK_EQ(stops, 3);
    CHECK_EQ(vcpu[1].exits[KVM_EXIT_DEBUG], 3);
    teardown();
}

/* I/O: string accesses go element by element; a pause lets the access take effect first. */
static unsigned io_count;
static enum device_result io_access(struct device *d, unsigned region, uint64_t offset,
                                    unsigned size, uint64_t *val, bool write)
{
    (void)d, (void)region, (void)write;
    CHECK_EQ(offset, 0);
    CHECK_EQ(size, 2);
    CHECK_EQ(*val, 0x1000 + io_count);
    if (++io_count == 4)
        vm_end(&vm, VM_POWEROFF, 0);
    return DEVICE_OK;
}

static void test_io(void)
{
    static const struct device_ops ops = { .name = "io", .access = io_access };
    struct device dev = { &ops };
    setup();
    CHECK_EQ(bus_add(&vm.pio, 0x1f0, 2, &dev, 0, "io"), 0);
    struct kvm_run *r = &fake[2].run;
    fake[2].next_exit = KVM_EXIT_IO;
    r->io.direction = KVM_EXIT_IO_OUT;
    r->io.port = 0x1f0;
    r->io.size = 2;
    r->io.count = 4;
    r->io.data_offset = offsetof(struct fake_vcpu, io_data) - offsetof(struct fake_vcpu, run);
    for (unsigned i = 0; i < 4; i++)
        le16_put((uint8_t *)r + r->io.data_offset + 2 * i, (uint16_t)(0x1000 + i));
    unsigned before = fake[2].runs;
    CHECK_EQ(vm_run(&vm), VM_POWEROFF);
    CHECK_EQ(io_count, 4);
    CHECK(fake[2].runs >= before + 2); /* once more, to finish it */
    CHECK(!vcpu[2].unfinished);
    teardown();
}

/* An engine that ignores kicks: said so, and left behind. */
static void *end_later(void *arg)
{
    while (!__atomic_load_n(&fake[1].runs, __ATOMIC_RELAXED))
        usleep(1000);
    vm_end(&vm, VM_QUIT, 0);
    return arg;
}

static void test_stuck(void)
{
    pthread_t other;
    setup();
    vm.control.stuck_ms = 200;
    fake[1].deaf = true;
    CHECK_EQ(pthread_create(&other, NULL, end_later, NULL), 0);
    CHECK_EQ(vm_run(&vm), VM_INTERNAL_ERROR);
    pthread_join(other, NULL);
    CHECK(vcpu[1].stuck && !vcpu[0].stuck && !vcpu[2].stuck);
    CHECK(vm.error[0]);
    fake[1].deaf = false; /* for the sanitizer's sake */
    fake_kick(&fake[1].base);
    pthread_join(vcpu[1].thread, NULL);
    teardown();
}

int main(void)
{
    test_pause();
    test_ends();
    test_debug();
    test_io();
    test_stuck();
    return unit_done("control");
}
