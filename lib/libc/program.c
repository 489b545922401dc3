/* Programs whose threads must stay kernel threads, recognised by what is loaded with them.
 *
 * Called once, at activation, on the program's stack. */
#include "libc/program.h"

#include <link.h>
#include <stdint.h>
#include <string.h>
#include "libc/symbol.h"

#define GO_BUILD_ID 4 /* type of the note, owner "Go", that Go's linker leaves */

static int find_go(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_NOTE)
            continue;
        const char *at = (const char *)info->dlpi_addr + p->p_vaddr, *end = at + p->p_memsz;
        while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            at += sizeof note;
            size_t name = (note.n_namesz + 3u) & ~(size_t)3,
                   desc = (note.n_descsz + 3u) & ~(size_t)3;
            if (name + desc > (size_t)(end - at))
                break; /* aligned to 8: no note of Go's */
            if (note.n_type == GO_BUILD_ID && note.n_namesz >= 3 && !memcmp(at, "Go", 3))
                return *(bool *)found = true;
            at += name + desc;
        }
    }
    return 0;
}

const char *program_needs_kernel_threads(void)
{
    void *asan = NULL, *tsan = NULL, *msan = NULL, *hwasan = NULL;
    const struct symbol_wish wishes[] = {
        { "__asan_init", &asan },
        { "__tsan_init", &tsan },
        { "__msan_init", &msan },
        { "__hwasan_init", &hwasan },
    };
    bool go = false;
    symbol_find(wishes, sizeof wishes / sizeof *wishes, true);
    if (asan || tsan || msan || hwasan)
        return "the program is built with a sanitizer, which must know its threads";
    dl_iterate_phdr(find_go, &go);
    if (go)
        return "the program contains the Go runtime, whose system calls do not go through libc";
    return NULL;
}
