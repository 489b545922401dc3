/*
 * option.h: what the user asked for in RADDLE_* variables. The rows are in option.def.
 *
 * `options` holds the defaults from the first instruction on, is written once by
 * option_parse() while the process still has one thread, and is read-only after.
 */
#ifndef BASE_OPTION_H
#define BASE_OPTION_H

/* POLLER_AUTO, BOUND_ALL, FAIL_LAYOUT and so on. */
enum option_word {
#define OPTION_WORD(type, constant, value, word) constant = (value),
#include "base/option.def"
};

/* Every field is an int, whatever its type in the table: a number, a truth value or one of
 * the constants above. */
struct options {
#define OPTION(type, field, ...) int field;
#include "base/option.def"
};

extern struct options options;
/* RADDLE_BOUND's pattern; meaningful with BOUND_NAMED. */
extern const char *option_bound_pattern;

/*
 * Set every option from envp: the default, or the first valid setting, as getenv() would
 * find it. An empty value is the same as none. For each unknown RADDLE_* name and each bad
 * value, complain (if not NULL) is called once with a line that has neither prefix nor
 * newline and says what is used instead; RADDLE_QUIET=1 silences all but complaints about
 * itself. Does not allocate, call libc, or depend on anything being initialised.
 */
void option_parse(char **envp, void (*complain)(const char *line));

/*
 * Check one setting, and store it in *into unless that is NULL. 0; -EINVAL for a bad value,
 * -ENOENT for an unknown name, both after a complaint as above.
 */
int option_set(struct options *into, const char *name, const char *value,
               void (*complain)(const char *line));

/* Row i of the table, in its order; 0 when there is no such row. For help and reports. */
struct option_info {
    const char *name;
    const char *help;
    const char *word; /* the current value's name, or NULL for a number */
    int value;
};
int option_describe(unsigned i, const struct options *from, struct option_info *info);

#endif
