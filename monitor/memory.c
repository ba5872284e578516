/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest RAM: one shared memfd, its slots, and the one accessor through which all else reaches it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "monitor/vm.h"

uint64_t vm_memory_low(const struct vm *vm, uint64_t low_end)
{
    return MIN(vm->config->memory, low_end);
}

uint64_t vm_memory_high(const struct vm *vm, uint64_t low_end)
{
    return vm->config->memory - vm_memory_low(vm, low_end);
}

static void *memory_map(void *ctx, uint64_t gpa, uint64_t len, bool write)
{
    struct vm *vm = ctx;
    for (unsigned i = 0; i < vm->slots; i++) {
        const struct vm_slot *s = &vm->slot[i];
        if (gpa >= s->gpa && range_ok(gpa - s->gpa, len, s->len))
            return write && s->readonly ? NULL : s->host + (gpa - s->gpa);
    }
    return NULL;
}

static void memory_written(void *ctx, uint64_t gpa, uint64_t len)
{
    struct vm *vm = ctx;
    if (vm->ops->memory_written)
        vm->ops->memory_written(vm->evm, gpa, len);
}

static int add_slot(struct vm *vm, uint64_t gpa, uint64_t len, uint8_t *host)
{
    struct kvm_userspace_memory_region region = { .slot = vm->slots,
                                                  .guest_phys_addr = gpa,
                                                  .memory_size = len,
                                                  .userspace_addr = (uintptr_t)host };
    if (!len)
        return 0;
    if (vm->slots == ARRAY_LEN(vm->slot))
        return vm_fail(vm, -ENOSPC, "too many memory slots");
    int err = vm->ops->set_user_memory_region(vm->evm, &region);
    if (err < 0)
        return vm_fail(vm, err, "engine %s refuses the memory slot at %#" PRIx64 ": %s",
                       vm->ops->name, gpa, strerror(-err));
    vm->slot[vm->slots++] = (struct vm_slot){ .gpa = gpa, .len = len, .host = host };
    return 0;
}

int vm_memory_create(struct vm *vm, uint64_t low_end, uint64_t hole, uint64_t hole_len)
{
    uint64_t size = vm->config->memory;
    uint64_t low = vm_memory_low(vm, low_end), high = vm_memory_high(vm, low_end);
    uint8_t *host;
    int err;

    vm->mem = (struct guest_memory){ .map = memory_map, .written = memory_written, .ctx = vm };
    vm->memfd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (vm->memfd < 0)
        return vm_fail(vm, -errno, "guest memory: %s", strerror(errno));
    if (ftruncate(vm->memfd, (off_t)size) < 0)
        return vm_fail(vm, -errno, "--memory: cannot have %" PRIu64 " MiB: %s", size >> 20,
                       strerror(errno));
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, vm->memfd, 0);
    if (host == MAP_FAILED)
        return vm_fail(vm, -errno, "--memory: cannot map %" PRIu64 " MiB: %s", size >> 20,
                       strerror(errno));
    vm->ram = host;
    if (low <= hole + hole_len)
        return vm_fail(vm, -EINVAL, "--memory: too small");
    if ((err = add_slot(vm, 0, hole, host)) < 0 ||
        (err = add_slot(vm, hole + hole_len, low - (hole + hole_len), host + hole + hole_len)) <
            0 ||
        (err = add_slot(vm, PC_HIGH_RAM, high, host + low)) < 0)
        return err;
    return 0;
}

void vm_memory_destroy(struct vm *vm)
{
    if (vm->ram)
        munmap(vm->ram, vm->config->memory);
    if (vm->memfd >= 0)
        close(vm->memfd);
    vm->ram = NULL;
    vm->memfd = -1;
    vm->slots = 0;
}
