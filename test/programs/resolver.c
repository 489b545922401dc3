/*
 * getaddrinfo and getnameinfo from 50 threads at once: numeric names and "localhost" out of the
 * hosts file, each thread getting its own answer (POSIX getaddrinfo).
 */
#include "check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { THREADS = 50, ROUNDS = 10 };

static void *body(void *argument)
{
    int me = (int)(long)argument;
    struct addrinfo numeric = { .ai_family = AF_INET,
                                .ai_socktype = SOCK_STREAM,
                                .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo named = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };

    for (int i = 0; i < ROUNDS; i++) {
        char host[64], service[16], back[64], back_service[16];
        struct addrinfo *list;

        snprintf(host, sizeof(host), "10.1.%d.%d", me, i);
        snprintf(service, sizeof(service), "%d", 1000 + me * ROUNDS + i);
        CHECK_EQ(getaddrinfo(host, service, &numeric, &list), 0);
        struct sockaddr_in *address = (struct sockaddr_in *)list->ai_addr;
        CHECK_EQ(ntohl(address->sin_addr.s_addr), 10 << 24 | 1 << 16 | me << 8 | i);
        CHECK_EQ(ntohs(address->sin_port), 1000 + me * ROUNDS + i);
        CHECK_EQ(getnameinfo(list->ai_addr, list->ai_addrlen, back, sizeof(back), back_service,
                             sizeof(back_service), NI_NUMERICHOST | NI_NUMERICSERV),
                 0);
        CHECK_EQ(strcmp(back, host), 0);
        CHECK_EQ(strcmp(back_service, service), 0);
        freeaddrinfo(list);

        CHECK_EQ(getaddrinfo("localhost", service, &named, &list), 0);
        address = (struct sockaddr_in *)list->ai_addr;
        CHECK_EQ(ntohl(address->sin_addr.s_addr) >> 24, 127);
        CHECK_EQ(ntohs(address->sin_port), 1000 + me * ROUNDS + i);
        freeaddrinfo(list);

        CHECK_EQ(getaddrinfo("not-a-number", NULL, &numeric, &list), EAI_NONAME);
    }
    return NULL;
}

static int hosts_file_has_localhost(void)
{
    FILE *hosts = fopen("/etc/hosts", "r");
    char line[512];
    int found = 0;

    while (hosts && fgets(line, sizeof(line), hosts)) {
        found |= strncmp(line, "127.", 4) == 0 && strstr(line, "localhost") != NULL;
    }
    if (hosts) {
        fclose(hosts);
    }
    return found;
}

int main(void)
{
    watchdog();
    if (!hosts_file_has_localhost()) {
        SKIP("/etc/hosts does not know localhost");
    }
    run_threads(THREADS, body);
    return 0;
}
