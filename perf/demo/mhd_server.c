/*
 * mhd_server: an ordinary web server on Debian's libmicrohttpd, one thread for each connection.
 * GET /anything/LENGTH is answered by LENGTH bytes that repeat the URL, so every answer differs
 * and can be checked. Prints "port N" and serves until SIGTERM; then it ends all its threads.
 */
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 65536

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    /* The first call brings only the header; who answers there loses the connection. */
    if (!*state) {
        *state = connection;
        return MHD_YES;
    }

    const char *slash = strrchr(url, '/');
    size_t n = strlen(url), length = slash ? strtoul(slash + 1, NULL, 10) : 0;
    char *body = length <= LONGEST ? malloc(length + 1) : NULL;
    struct MHD_Response *response;
    enum MHD_Result result;

    (void)cls, (void)method, (void)version, (void)upload, (void)upload_size;
    if (!body)
        return MHD_NO;
    for (size_t i = 0; i < length; i++)
        body[i] = url[i % n];
    response = MHD_create_response_from_buffer(length, body, MHD_RESPMEM_MUST_FREE);
    result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

int main(void)
{
    struct MHD_Daemon *daemon;
    sigset_t ends;
    int number;

    /* Before there are threads, so that none of them takes it. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                                  MHD_USE_POLL,
                              0, NULL, NULL, answer, NULL, MHD_OPTION_CONNECTION_LIMIT, 20000u,
                              MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u, MHD_OPTION_END);

    if (!daemon) {
        fprintf(stderr, "mhd_server: cannot listen\n");
        return 2;
    }
    printf("port %d\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    sigwait(&ends, &number);
    MHD_stop_daemon(daemon); /* ends the connections and joins their threads */
    return 0;
}
