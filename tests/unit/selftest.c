/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine self-test: passes on soft, tells the causes apart, never hangs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/selftest.h"
#include "tests/unit/unit.h"

enum { TIMEOUT_MS = 20000 };

static struct engine_ops broken; /* soft with one function replaced */
static unsigned runs;

static int run_forever(struct engine_vcpu *v)
{
    (void)v;
    for (;;)
        pause();
    return 0;
}
static int run_crash(struct engine_vcpu *v)
{
    (void)v;
    signal(SIGSEGV, SIG_DFL); /* not the sanitizer's business */
    raise(SIGSEGV);
    return 0;
}
static int run_some(struct engine_vcpu *v)
{
    if (++runs > 4) {
        v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
        v->run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
        return 0;
    }
    return engine_soft.run(v);
}
static int run_refused(struct engine_vcpu *v)
{
    (void)v;
    return -EFAULT;
}
static int no_vm(struct engine *e, struct engine_vm **out)
{
    (void)e, (void)out;
    return -EBUSY;
}

static void test_soft(void)
{
    struct selftest_result r;

    CHECK_EQ(engine_selftest(&engine_soft, NULL, TIMEOUT_MS, &r), 0);
    printf("soft: %s\n", r.reason);
    CHECK_EQ(r.verdict, SELFTEST_PASSED);
    CHECK(!r.step);
}

static void test_broken(void)
{
    struct selftest_result r;

    broken = engine_soft;
    broken.run = run_forever;
    CHECK_EQ(engine_selftest(&broken, NULL, 300, &r), -ETIMEDOUT);
    CHECK_EQ(r.verdict, SELFTEST_TIMEOUT);
    CHECK(!strcmp(r.reason, "self-test failed at setup: not done after 300 ms"));
    broken.run = run_crash;
    CHECK_EQ(engine_selftest(&broken, NULL, TIMEOUT_MS, &r), -EIO);
    CHECK(strstr(r.reason, "crashed with signal 11"));
    broken.run = run_refused;
    CHECK_EQ(engine_selftest(&broken, NULL, TIMEOUT_MS, &r), -EIO);
    CHECK(strstr(r.reason, "running: Bad address"));
    broken.run = run_some;
    CHECK_EQ(engine_selftest(&broken, NULL, TIMEOUT_MS, &r), -EIO);
    CHECK_EQ(r.verdict, SELFTEST_FAILED);
    CHECK(r.step && !strcmp(r.step, "int3"));
    CHECK(strstr(r.reason, "self-test failed at int3: internal error: it cannot emulate"));
    broken.create_vm = no_vm;
    CHECK_EQ(engine_selftest(&broken, NULL, TIMEOUT_MS, &r), -EOPNOTSUPP);
    CHECK_EQ(r.verdict, SELFTEST_UNUSABLE);
    CHECK(strstr(r.reason, "another hypervisor"));
}

static void test_device(void)
{
    struct selftest_result r;
    char dir[] = "/tmp/selftest.XXXXXX", path[64];
    struct engine_options opt = { .device = "/nonexistent/kvm" };

    CHECK_EQ(engine_selftest(&engine_kvm, &opt, TIMEOUT_MS, &r), -ENODEV);
    CHECK_EQ(r.verdict, SELFTEST_NO_DEVICE);
    CHECK(strstr(r.reason, "/nonexistent/kvm"));
    opt.device = "/dev/null";
    CHECK_EQ(engine_selftest(&engine_kvm, &opt, TIMEOUT_MS, &r), -EOPNOTSUPP);
    CHECK_EQ(r.verdict, SELFTEST_UNUSABLE);
    CHECK(!strcmp(r.reason, "/dev/null is not a KVM device"));
    if (!mkdtemp(dir))
        return;
    snprintf(path, sizeof(path), "%s/kvm", dir);
    opt.device = path;
    int fd = open(path, O_CREAT | O_WRONLY, 0);
    if (fd >= 0)
        close(fd);
    if (geteuid() != 0) { /* root may open anything */
        CHECK_EQ(engine_selftest(&engine_kvm, &opt, TIMEOUT_MS, &r), -EACCES);
        CHECK_EQ(r.verdict, SELFTEST_NO_PERMISSION);
    }
    CHECK_EQ(unlink(path), 0);
    if (!mknod(path, S_IFCHR | 0600, 60 << 8 | 250)) { /* a node without a driver */
        CHECK_EQ(engine_selftest(&engine_kvm, &opt, TIMEOUT_MS, &r), -ENODEV);
        CHECK_EQ(r.verdict, SELFTEST_NO_DEVICE);
        unlink(path);
    }
    rmdir(dir);
}

/* Whatever is here, the answer comes in time and has a reason. */
static void test_local(void)
{
    struct selftest_result r;

    (void)!engine_selftest(&engine_kvm, NULL, TIMEOUT_MS, &r);
    printf("kvm: %s\n", r.reason);
    CHECK(r.reason[0]);
    CHECK(r.microseconds < (TIMEOUT_MS + 2000) * 1000u);
}

int main(void)
{
    test_device();
    test_soft();
    test_broken();
    test_local();
    return unit_done("selftest");
}
