/* Where code may be stopped for an arbitrary time: in the program and its libraries, but not in
 * libc, ld.so, the vdso or this library. There a thread may hold a lock that others need and that
 * nobody outside can see, or the address of the kernel thread that it runs on.
 *
 * The ranges are found once, at activation, on the program's stack; they are read in signal handlers. */
#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>
#include "libc/tcb.h"

#define RANGES 8 /* an object may have several executable segments */

struct range {
    uintptr_t start, size;
    bool ours;
};
static struct range ranges[RANGES];
static int count;
static bool found_libc, found_own;

static bool within(const struct dl_phdr_info *info, uintptr_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && address - (info->dlpi_addr + p->p_vaddr) < p->p_memsz)
            return true;
    }
    return false;
}

static int look(struct dl_phdr_info *info, size_t size, void *libc)
{
    (void)size;
    bool is_libc = within(info, (uintptr_t)libc), is_own = within(info, (uintptr_t)look);
    /* The vdso's addresses in its program headers are offsets; where it lies is in the vector. */
    if (!is_libc && !is_own && !within(info, getauxval(AT_BASE)) &&
        !within(info, getauxval(AT_SYSINFO_EHDR)))
        return 0;
    found_libc |= is_libc;
    found_own |= is_own;
    for (int i = 0; i < info->dlpi_phnum && count < RANGES; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && p->p_flags & PF_X)
            ranges[count++] = (struct range){ info->dlpi_addr + p->p_vaddr, p->p_memsz, is_own };
    }
    return 0;
}

bool libc_text_find(void)
{
    count = 0;
    found_libc = found_own = false;
    void *libc = dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
    if (libc)
        dl_iterate_phdr(look, libc);
    return found_libc && found_own && count < RANGES;
}

static const struct range *range_of(const void *pc)
{
    for (int i = 0; i < count; i++)
        if ((uintptr_t)pc - ranges[i].start < ranges[i].size)
            return &ranges[i];
    return NULL;
}

bool libc_text_free(const void *pc)
{
    return !range_of(pc);
}

bool libc_text_ours(const void *pc)
{
    const struct range *r = range_of(pc);
    return r && r->ours;
}
