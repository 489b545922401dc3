/* Looking symbols up in the loaded objects' own tables.
 *
 * dlsym would do, but for one thing: a look-up that fails formats its error message with malloc. The
 * table is resolved in the first call that needs it, and that may be a mutex call of an allocator
 * (jemalloc, tcmalloc) in the middle of setting itself up: its malloc would wait for itself.
 *
 * Reads what ld.so has mapped: the GNU hash table (every libc since 2006 has one), symbols, versions.
 * Objects that have none of it are passed over; a name that is found nowhere is the caller's problem.
 * Called on the program's stacks, mostly in the constructor. */
#include "libc/symbol.h"

#include <link.h>
#include <stdint.h>
#include <string.h>

#define VERSION_HIDDEN 0x8000u

struct object {
    ElfW(Addr) base;
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *hash;
    const ElfW(Half) * versions; /* NULL: none */
};

struct search {
    const struct symbol_wish *wishes;
    size_t n, left;
    bool started; /* past this object, or looking anywhere */
};

static uint32_t hash_of(const char *name)
{
    uint32_t h = 5381;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        h = h * 33 + *c;
    return h;
}

static bool holds(const struct dl_phdr_info *info, uintptr_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && address - (info->dlpi_addr + p->p_vaddr) < p->p_memsz)
            return true;
    }
    return false;
}

static bool describe(const struct dl_phdr_info *info, struct object *o)
{
    const ElfW(Dyn) *d = NULL;
    memset(o, 0, sizeof *o);
    o->base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            d = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; d && d->d_tag != DT_NULL; d++) {
        /* ld.so has added the base, except for the kernel's vdso. */
        ElfW(Addr) p = d->d_un.d_ptr;
        const void *at = (const void *)(p < o->base ? o->base + p : p);
        switch (d->d_tag) {
        case DT_SYMTAB:
            o->symbols = at;
            break;
        case DT_STRTAB:
            o->strings = at;
            break;
        case DT_GNU_HASH:
            o->hash = at;
            break;
        case DT_VERSYM:
            o->versions = at;
            break;
        }
    }
    return o->symbols && o->strings && o->hash;
}

static void *look_up(const struct object *o, const char *name)
{
    uint32_t buckets = o->hash[0], first = o->hash[1], words = o->hash[2], shift = o->hash[3];
    const ElfW(Addr) *bloom = (const void *)(o->hash + 4);
    const uint32_t *bucket = (const void *)(bloom + words), *chain = bucket + buckets;
    uint32_t h = hash_of(name);
    unsigned bits = 8 * sizeof *bloom;
    ElfW(Addr) word = bloom[h / bits % words];
    if (!buckets || !(word >> h % bits & word >> (h >> shift) % bits & 1))
        return NULL;
    for (uint32_t i = bucket[h % buckets]; i >= first && i; i++) {
        const ElfW(Sym) *s = &o->symbols[i];
        uint32_t other = chain[i - first];
        if ((other | 1) == (h | 1) && s->st_shndx != SHN_UNDEF && s->st_value &&
            !(o->versions && o->versions[i] & VERSION_HIDDEN) &&
            !strcmp(o->strings + s->st_name, name)) {
            void *at = (void *)(o->base + s->st_value);
            return ELF64_ST_TYPE(s->st_info) == STT_GNU_IFUNC ? ((void *(*)(void))at)() : at;
        }
        if (other & 1)
            break;
    }
    return NULL;
}

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *search = arg;
    struct object o;
    (void)size;
    if (holds(info, (uintptr_t)look)) {
        search->started = true;
        return 0;
    }
    if (!search->started || !describe(info, &o))
        return 0;
    for (size_t i = 0; i < search->n; i++) {
        const struct symbol_wish *w = &search->wishes[i];
        if (!*w->found && (*w->found = look_up(&o, w->name)))
            search->left--;
    }
    return !search->left;
}

void symbol_find(const struct symbol_wish *wishes, size_t n, bool anywhere)
{
    struct search search = { wishes, n, n, anywhere };
    dl_iterate_phdr(look, &search);
}
