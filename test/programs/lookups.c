/* Lookups of users, groups, services and hosts from many threads at a time answer what they answer
 * alone. */
#include "check.h"

#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>

enum { THREADS = 12 };

static void *body(void *unused)
{
    char room[4096];
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;
    struct hostent host, *found_host = NULL;
    struct servent service, *found_service = NULL;
    int error, n = 32;
    gid_t groups[32];

    OK(getpwuid_r(0, &user, room, sizeof room, &found_user));
    if (found_user) {
        CHECK(strcmp(user.pw_name, "root") == 0);
        OK(getpwnam_r("root", &user, room, sizeof room, &found_user));
        CHECK_EQ(user.pw_uid, 0);
    }
    OK(getpwnam_r("no-such-user-here", &user, room, sizeof room, &found_user));
    CHECK(!found_user);
    OK(getgrgid_r(0, &group, room, sizeof room, &found_group));
    CHECK(getgrouplist("root", 0, groups, &n) >= 1);
    OK(gethostbyname_r("127.0.0.1", &host, room, sizeof room, &found_host, &error));
    CHECK(found_host && host.h_length == 4 && host.h_addr_list[0][0] == 127);
    OK(gethostbyname2_r("127.0.0.1", AF_INET, &host, room, sizeof room, &found_host, &error));
    CHECK(found_host);
    getservbyname_r("no-such-service-here", "tcp", &service, room, sizeof room, &found_service);
    CHECK(!found_service);

    struct addrinfo *info, hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
    struct gaicb request = { .ar_name = "127.0.0.1", .ar_service = "80", .ar_request = &hints };
    struct gaicb *list[1] = { &request };
    CHECK_EQ(getaddrinfo_a(GAI_WAIT, list, 1, NULL), 0);
    CHECK_EQ(gai_error(&request), 0);
    freeaddrinfo(request.ar_result);
    CHECK_EQ(getaddrinfo("::1", "80", &hints, &info), 0);
    freeaddrinfo(info);
    return unused;
}

int main(void)
{
    watchdog();
    body(NULL);
    run_threads(THREADS, body);
    return 0;
}
