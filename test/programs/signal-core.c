/* A core dump shows the thread that is to blame: its registers come first, and its stack is there. Of a thread
 * that touches what is not mapped, beside others that compute and wait; and of one that calls abort. */
#include "check.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/procfs.h>

#ifdef __x86_64__
#define MAGIC 0x7468726561642121ull
#define NEAR  256 /* a function's length, at most */

static struct shared {
    uint64_t *local; /* on the faulting thread's stack */
    volatile char *nowhere;
} * shared;
static atomic_int ready;
static volatile unsigned sink;

__attribute__((noinline)) static void faults(void)
{
    volatile uint64_t local = MAGIC;
    shared->local = (uint64_t *)&local;
    *shared->nowhere = 1;
    sink = (unsigned)local;
}

__attribute__((noinline)) static void calls_abort(void)
{
    volatile uint64_t local = MAGIC;
    shared->local = (uint64_t *)&local;
    abort();
}

static void *computes(void *arg)
{
    ready++;
    for (;;) {
        sink++;
    }
    return arg;
}

static void *waits(void *arg)
{
    ready++;
    for (;;) {
        pause();
    }
    return arg;
}

static void *falls(void *arg)
{
    while (ready < 3) {
        sched_yield();
    }
    usleep(1000);
    ((void (*)(void))arg)();
    return NULL;
}

static char core[1 << 20]; /* its beginning: headers and notes */
static int core_fd;
static const Elf64_Ehdr *header = (const Elf64_Ehdr *)core;

static const Elf64_Phdr *segment(int i)
{
    return (const Elf64_Phdr *)(core + header->e_phoff) + i;
}

static uint64_t word_at(uint64_t address)
{
    for (int i = 0; i < header->e_phnum; i++) {
        const Elf64_Phdr *p = segment(i);
        uint64_t word;
        if (p->p_type == PT_LOAD && address - p->p_vaddr < p->p_filesz) {
            CHECK_EQ(SYS(pread(core_fd, &word, sizeof word,
                               (off_t)(p->p_offset + address - p->p_vaddr))),
                     sizeof word);
            return word;
        }
    }
    return 0;
}

static struct elf_prstatus first_thread(void)
{
    for (int i = 0; i < header->e_phnum; i++) {
        const Elf64_Phdr *p = segment(i);
        for (uint64_t at = p->p_offset; p->p_type == PT_NOTE && at < p->p_offset + p->p_filesz;) {
            const Elf64_Nhdr *note = (const Elf64_Nhdr *)(core + at);
            const char *text = (const char *)(note + 1) + (note->n_namesz + 3) / 4 * 4;
            CHECK(text + sizeof(struct elf_prstatus) < core + sizeof core);
            if (note->n_type == NT_PRSTATUS) {
                return *(const struct elf_prstatus *)text;
            }
            at = (uint64_t)(text - core) + (note->n_descsz + 3) / 4 * 4;
        }
    }
    CHECK(!"a thread");
    return (struct elf_prstatus){ 0 };
}

static void child(void (*how)(void))
{
    struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
    watchdog();
    if (setrlimit(RLIMIT_CORE, &all) < 0) {
        _exit(77);
    }
    start(computes, NULL);
    start(waits, NULL);
    start(computes, NULL);
    start(falls, (void *)how);
    for (;;) {
        pause();
    }
}

static int named(const char *directory, pid_t pid, char *path, size_t size)
{
    char uses_pid = '0';
    int fd = open("/proc/sys/kernel/core_uses_pid", O_RDONLY);
    char pattern[128] = "";
    if (fd >= 0) {
        CHECK(read(fd, &uses_pid, 1) >= 0);
        close(fd);
    }
    if ((fd = open("/proc/sys/kernel/core_pattern", O_RDONLY)) < 0 ||
        read(fd, pattern, sizeof pattern - 1) <= 0) {
        return 0;
    }
    close(fd);
    pattern[strcspn(pattern, "\n")] = 0;
    if (!strcmp(pattern, "core.%p") || (!strcmp(pattern, "core") && uses_pid == '1')) {
        snprintf(path, size, "%s/core.%d", directory, (int)pid);
    } else if (!strcmp(pattern, "core")) {
        snprintf(path, size, "%s/core", directory);
    } else {
        return 0; /* elsewhere: some program has it */
    }
    return 1;
}

static void look(void (*how)(void), int sig)
{
    char directory[] = "/tmp/signal-core-XXXXXX", path[128];
    CHECK(mkdtemp(directory) != NULL);
    CHECK_EQ(chdir(directory), 0);
    pid_t pid = SYS(fork());
    if (!pid) {
        child(how);
    }
    int status = reap(pid), file = named(directory, pid, path, sizeof path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        rmdir(directory);
        SKIP("core dumps are not allowed");
    }
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), sig);
    if (!file || !WCOREDUMP(status)) {
        rmdir(directory);
        SKIP("core dumps go elsewhere");
    }
    core_fd = SYS(open(path, O_RDONLY));
    CHECK(SYS(read(core_fd, core, sizeof core)) > (ssize_t)sizeof *header);
    struct elf_prstatus thread = first_thread();
    struct user_regs_struct regs;
    memcpy(&regs, &thread.pr_reg, sizeof regs);
    CHECK_EQ(thread.pr_cursig, sig);
    CHECK_EQ(word_at((uint64_t)(uintptr_t)shared->local), MAGIC);
    CHECK((uint64_t)(uintptr_t)shared->local - (regs.rsp - 128) < 65536); /* or in the red zone */
    if (sig == SIGSEGV) {
        CHECK(regs.rip - (uint64_t)(uintptr_t)how < NEAR);
    } else {
        int frames = 0; /* of the function that called abort */
        for (uint64_t at = regs.rsp; at < regs.rsp + 65536; at += 8) {
            frames += word_at(at) - (uint64_t)(uintptr_t)how < NEAR;
        }
        CHECK(frames > 0);
    }
    close(core_fd);
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    watchdog();
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    look(faults, SIGSEGV);
    look(calls_abort, SIGABRT);
    puts("both cores show who it was");
    return 0;
}
#else
int main(void)
{
    SKIP("knows the registers of another processor");
}
#endif
