/* option.c: which settings are taken, and that each bad one gives one line and the default. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/option.h"

static char lines[8][LOG_LINE_MAX];
static unsigned complaints;

static void collect(const char *line)
{
    cr_assert_lt(strlen(line), sizeof lines[0]);
    cr_assert_lt(complaints, sizeof lines / sizeof lines[0]);
    strcpy(lines[complaints++], line);
}

#define parse(...)                                                                                 \
    do {                                                                                           \
        complaints = 0;                                                                            \
        option_parse((char *[]){ __VA_ARGS__, NULL }, collect);                                    \
    } while (0)

#define complained(line)                                                                           \
    do {                                                                                           \
        cr_assert_eq(complaints, 1, "%u complaints", complaints);                                  \
        cr_assert_str_eq(lines[0], line);                                                          \
    } while (0)

Test(option, defaults_hold_before_anything_is_parsed)
{
    cr_assert_eq(options.procs, 0);
    cr_assert_eq(options.poller, POLLER_AUTO);
    cr_assert_eq(options.stats, 0);
    cr_assert_eq(options.max_threads, 1000000);
    cr_assert_eq(options.max_workers, 10000);
    cr_assert_eq(options.bound, BOUND_NONE);
    cr_assert_eq(options.inherit, 1);
    cr_assert_eq(options.quiet, 0);
    cr_assert_eq(options.debug_fail, FAIL_NONE);
}

Test(option, an_empty_or_foreign_environment_changes_nothing)
{
    option_parse(NULL, collect);
    option_parse((char *[]){ NULL }, collect);
    parse("PATH=/bin", "XRADDLE_PROCS=4", "RADDLE=1", "RADDLE_NOTHING", "raddle_procs=3", "=", "");
    cr_assert_eq(complaints, 0);
    cr_assert_eq(options.procs, 0);
}

Test(option, every_type_is_read)
{
    parse("RADDLE_PROCS=7", "HOME=/", "RADDLE_POLLER=epoll", "RADDLE_STATS=1",
          "RADDLE_MAX_THREADS=1048576", "RADDLE_MAX_WORKERS=1", "RADDLE_BOUND=all",
          "RADDLE_INHERIT=0", "RADDLE_DEBUG_FAIL=fsgsbase");
    cr_assert_eq(complaints, 0);
    cr_assert_eq(options.procs, 7);
    cr_assert_eq(options.poller, POLLER_EPOLL);
    cr_assert_eq(options.stats, 1);
    cr_assert_eq(options.max_threads, 1048576);
    cr_assert_eq(options.max_workers, 1);
    cr_assert_eq(options.bound, BOUND_ALL);
    cr_assert_eq(options.inherit, 0);
    cr_assert_eq(options.debug_fail, FAIL_FSGSBASE);
}

Test(option, parsing_again_starts_from_the_defaults)
{
    parse("RADDLE_PROCS=7");
    parse("RADDLE_STATS=1");
    cr_assert_eq(options.procs, 0);
    cr_assert_eq(options.stats, 1);
}

Test(option, a_bad_number_is_refused_whole)
{
    static char *bad[] = { "RADDLE_PROCS=abc",
                           "RADDLE_PROCS=4x",
                           "RADDLE_PROCS=-1",
                           "RADDLE_PROCS=+4",
                           "RADDLE_PROCS= 4",
                           "RADDLE_PROCS=4 ",
                           "RADDLE_PROCS=0x4",
                           "RADDLE_PROCS=257",
                           "RADDLE_PROCS=4.0",
                           "RADDLE_PROCS=4294967300",
                           "RADDLE_PROCS=18446744073709551620",
                           "RADDLE_PROCS=99999999999999999999999999999999999999" };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char expected[LOG_LINE_MAX];

        snprintf(expected, sizeof expected,
                 "%s is not a number from 1 to 256; using the number of CPUs", bad[i]);
        parse(bad[i]);
        complained(expected);
        cr_assert_eq(options.procs, 0);
    }
}

Test(option, the_edges_of_a_range_belong_to_it)
{
    parse("RADDLE_PROCS=1", "RADDLE_MAX_WORKERS=32768");
    cr_assert_eq(complaints, 0);
    cr_assert_eq(options.procs, 1);
    parse("RADDLE_PROCS=256", "RADDLE_MAX_WORKERS=32769");
    complained("RADDLE_MAX_WORKERS=32769 is not a number from 1 to 32768; using 10000");
    cr_assert_eq(options.procs, 256);
    cr_assert_eq(options.max_workers, 10000);
    parse("RADDLE_MAX_THREADS=0");
    complained("RADDLE_MAX_THREADS=0 is not a number from 1 to 1048576; using 1000000");
}

Test(option, zero_procs_says_you_choose)
{
    parse("RADDLE_PROCS=0");
    cr_assert_eq(complaints, 0);
    cr_assert_eq(options.procs, 0);
}

Test(option, an_empty_value_is_no_value)
{
    parse("RADDLE_PROCS=", "RADDLE_POLLER=", "RADDLE_INHERIT=");
    cr_assert_eq(complaints, 0);
    cr_assert_eq(options.inherit, 1);
}

Test(option, a_bad_word_names_the_good_ones)
{
    parse("RADDLE_POLLER=Epoll");
    complained("RADDLE_POLLER=Epoll is not one of auto, uring, epoll; using auto");
    parse("RADDLE_BOUND=io-*");
    cr_assert_eq(options.bound, BOUND_NAMED);
    cr_assert_str_eq(option_bound_pattern, "io-*");
    parse("RADDLE_DEBUG_FAIL=rings");
    complained("RADDLE_DEBUG_FAIL=rings is not one of none, layout, uring, guard, fsgsbase, "
               "activate, deep, ring, submit, overflow, clone, memory; using none");
}

Test(option, a_truth_value_is_0_or_1)
{
    parse("RADDLE_STATS=yes");
    complained("RADDLE_STATS=yes is not 0 or 1; using 0");
    parse("RADDLE_INHERIT=2");
    complained("RADDLE_INHERIT=2 is not 0 or 1; using 1");
    cr_assert_eq(options.inherit, 1);
}

Test(option, an_unknown_name_is_ignored_aloud)
{
    parse("RADDLE_PROC=4", "RADDLE_STATS=1");
    complained("RADDLE_PROC is not a setting that raddle knows (see raddle(7)); ignored");
    cr_assert_eq(options.stats, 1);
    parse("RADDLE_PROCSX=4");
    complained("RADDLE_PROCSX is not a setting that raddle knows (see raddle(7)); ignored");
    parse("RADDLE_=4");
    complained("RADDLE_ is not a setting that raddle knows (see raddle(7)); ignored");
}

Test(option, each_bad_setting_gives_a_line_of_its_own)
{
    parse("RADDLE_PROCS=x", "RADDLE_WHAT=1", "RADDLE_POLLER=kqueue", "RADDLE_MAX_WORKERS=5");
    cr_assert_eq(complaints, 3);
    cr_assert_eq(options.max_workers, 5);
}

Test(option, the_first_of_two_settings_counts)
{
    parse("RADDLE_PROCS=3", "RADDLE_PROCS=5", "RADDLE_QUIET=0", "RADDLE_QUIET=1", "RADDLE_X=");
    cr_assert_eq(options.procs, 3);
    cr_assert_eq(options.quiet, 0);
    cr_assert_eq(complaints, 1);
}

Test(option, quiet_silences_wherever_it_stands)
{
    parse("RADDLE_PROCS=x", "RADDLE_WHAT=1", "RADDLE_QUIET=1");
    cr_assert_eq(complaints, 0);
    cr_assert_eq(options.quiet, 1);
    cr_assert_eq(options.procs, 0);
    parse("RADDLE_QUIET=please");
    complained("RADDLE_QUIET=please is not 0 or 1; using 0");
}

Test(option, what_is_shown_is_one_short_line)
{
    static char huge[4096] = "RADDLE_POLLER=\n\033[31m";

    memset(huge + strlen(huge), 'x', sizeof huge - strlen(huge) - 1);
    parse(huge);
    cr_assert_eq(complaints, 1);
    cr_assert_null(strpbrk(lines[0], "\n\033"));
    cr_assert_lt(strlen(lines[0]), 160);
    cr_assert_not_null(strstr(lines[0], "... is not one of auto"));

    memset(huge, 'Y', sizeof huge - 1);
    memcpy(huge, "RADDLE_", 7);
    huge[4000] = '=';
    parse(huge);
    cr_assert_eq(complaints, 1);
    cr_assert_lt(strlen(lines[0]), 160);
}

Test(option, nobody_has_to_listen)
{
    option_parse((char *[]){ "RADDLE_PROCS=x", "RADDLE_WHAT=1", NULL }, NULL);
    cr_assert_eq(options.procs, 0);
}

Test(option, one_setting_can_be_checked_alone)
{
    struct options mine = { .procs = 9 };

    complaints = 0;
    cr_assert_eq(option_set(&mine, "RADDLE_PROCS", "12", collect), 0);
    cr_assert_eq(mine.procs, 12);
    cr_assert_eq(option_set(&mine, "RADDLE_PROCS", "1000", collect), -EINVAL);
    cr_assert_eq(mine.procs, 12);
    cr_assert_eq(option_set(NULL, "RADDLE_POLLER", "uring", collect), 0);
    cr_assert_eq(complaints, 1);
    cr_assert_eq(option_set(NULL, "RADDLE_HORSES", "2", NULL), -ENOENT);
}

Test(option, the_table_describes_itself)
{
    struct option_info info;
    unsigned n = 0;

    parse("RADDLE_POLLER=uring", "RADDLE_PROCS=2");
    for (; option_describe(n, &options, &info); n++) {
        cr_assert_eq(strncmp(info.name, "RADDLE_", 7), 0);
        cr_assert_gt(strlen(info.help), 10);
        if (strcmp(info.name, "RADDLE_POLLER") == 0)
            cr_assert_str_eq(info.word, "uring");
        if (strcmp(info.name, "RADDLE_PROCS") == 0) {
            cr_assert_eq(info.value, 2);
            cr_assert_null(info.word);
        }
    }
    cr_assert_eq(n, sizeof(struct options) / sizeof(int));
}
