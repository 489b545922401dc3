/*
 * A library with initial-exec TLS is opened while threads exist: its variables have their initial
 * values in those threads, in new ones and in main, and are then each thread's own (dlopen(3)).
 */
#include "tls-dlopen.h"

int main(int argc, char **argv)
{
    initial_block = "initial";
    return run(argc, argv, "libtls-initial.so");
}
