/* The functions that raddle only passes on to libc: each is called once, from a thread, by its name.
 * They are called in ways that end at once, most of them with an invalid descriptor. The library
 * counts each call (RADDLE_STATS=1); rows.py compares. See rows.c. */
#include "programs/check.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <mqueue.h>
#include <netdb.h>
#include <pty.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "rows.h"

extern char **environ;

typedef long words(long, long, long, long, long, long);

static void *look_up(const char *name)
{
    void *function = dlsym(RTLD_DEFAULT, name);

    if (!function) {
        check_failed(__FILE__, __LINE__, name, 0, "not found");
    }
    puts(name);
    return function;
}

/* No descriptor, no child, no message queue, and nothing to do: it ends at once. */
static void invalid(const char *name)
{
    words *f = (words *)(uintptr_t)look_up(name);

    f(-1, 0, 0, 0, 0, 0);
}

/* The same for two descriptors with offsets. */
static void invalid_second(const char *name)
{
    words *f = (words *)(uintptr_t)look_up(name);

    f(-1, 0, -1, 0, 1, 0);
}

static const char *const invalid_names[] = { "syncfs", "tcdrain" };
static const char *const invalid_second_names[] = { "copy_file_range" };

static void names(void)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *found;
    struct sockaddr_in address = { .sin_family = AF_INET };
    char host[64];

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(((int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))(
                 uintptr_t)look_up("getaddrinfo"))("127.0.0.1", NULL, &hints, &found),
             0);
    freeaddrinfo(found);
    CHECK_EQ(((int (*)(const struct sockaddr *, socklen_t, char *, socklen_t, char *, socklen_t,
                       int))(uintptr_t)look_up("getnameinfo"))((struct sockaddr *)&address,
                                                               sizeof address, host, sizeof host,
                                                               NULL, 0, NI_NUMERICHOST),
             0);
    CHECK(((struct hostent * (*)(const char *))(uintptr_t)look_up("gethostbyname"))("127.0.0.1"));
    /* An address of a wrong length: no question is asked. */
    ((struct hostent * (*)(const void *, socklen_t, int))(uintptr_t)look_up("gethostbyaddr"))(
        &address.sin_addr, 1, AF_INET);
}

/* Not by a function that is counted. */
static void collect(pid_t pid)
{
    CHECK_EQ(syscall(SYS_wait4, pid, NULL, 0, NULL), pid);
}

static void processes(void)
{
    char *arguments[] = { (char *)"true", NULL };
    pid_t pid;
    int terminal;

    CHECK_EQ(((int (*)(const char *))(uintptr_t)look_up("system"))("true"), 0);
    FILE *stream = ((FILE * (*)(const char *, const char *))(uintptr_t)look_up("popen"))("true",
                                                                                         "r");
    CHECK(stream != NULL);
    CHECK_EQ(((int (*)(FILE *))(uintptr_t)look_up("pclose"))(stream), 0);
    OK(((int (*)(pid_t *, const char *, void *, void *, char **, char **))(uintptr_t)look_up(
        "posix_spawn"))(&pid, "/bin/true", NULL, NULL, arguments, environ));
    collect(pid);
    OK(((int (*)(pid_t *, const char *, void *, void *, char **, char **))(uintptr_t)look_up(
        "posix_spawnp"))(&pid, "true", NULL, NULL, arguments, environ));
    collect(pid);
    pid = ((pid_t(*)(int *, char *, void *, void *))(uintptr_t)look_up("forkpty"))(&terminal, NULL,
                                                                                   NULL, NULL);
    if (pid == 0) {
        _exit(0);
    }
    /* There may be no terminal here; the call counts. */
    if (pid > 0) {
        collect(pid);
    }
}

static void *body(void *argument)
{
    char random[4];

    for (size_t i = 0; i < sizeof invalid_names / sizeof *invalid_names; i++) {
        invalid(invalid_names[i]);
    }
    for (size_t i = 0; i < sizeof invalid_second_names / sizeof *invalid_second_names; i++) {
        invalid_second(invalid_second_names[i]);
    }
    CHECK(((int (*)(void *, size_t, int))(uintptr_t)look_up("msync"))((void *)1, 1, 0) < 0);
    CHECK(((ssize_t(*)(void *, size_t, unsigned))(uintptr_t)look_up("getrandom"))(random, 4, 0) >
          0);
    names();
    processes();
    fflush(stdout);
    /* The parent ends here; the child has the counters. */
    CHECK_EQ(((int (*)(int, int))(uintptr_t)look_up("daemon"))(1, 1), 0);
    fflush(stdout);
    exit(0);
    return argument;
}

int call_passed(void)
{
    pthread_t thread;

    OK(pthread_create(&thread, NULL, body, NULL));
    OK(pthread_join(thread, NULL));
    return 1;
}
