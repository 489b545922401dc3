/*
 * option.c: reads RADDLE_* from an environment block.
 *
 * Always true: a value is taken whole or not at all (no trailing garbage, no overflow, no
 * sign), every rejected setting gives exactly one line, and what remains is the default.
 * A setting is never fatal: we are a guest in somebody's process.
 *
 * Called by the shim's constructor on the main thread's stack, before the program's own
 * constructors and perhaps before libc's are done: hence no getenv, malloc or stdio. The
 * launcher calls option_set() to check its own arguments against the same rows.
 */
#include "base/option.h"
#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

struct options options = {
#define OPTION(type, field, name, def, ...) .field = (def),
#include "base/option.def"
};

struct word {
    const char *type;
    const char *word;
    int value;
};

static const struct word words[] = {
#define OPTION_WORD(type, constant, value, word) { #type, word, value },
#include "base/option.def"
};

#define WORDS (sizeof words / sizeof words[0])

struct row {
    const char *type;
    const char *name;
    const char *instead;
    const char *help;
    size_t offset;
    int def, min, max;
};

static const struct row rows[] = {
#define OPTION(type, field, name, def, min, max, instead, help)                                    \
    { #type, name, instead, help, offsetof(struct options, field), def, min, max },
#include "base/option.def"
};

#define ROWS (sizeof rows / sizeof rows[0])

/* option_parse() remembers the rows it has seen in one word. */
_Static_assert(ROWS <= 64, "too many options for a 64-bit set");

#define OPTION(type, field, name, def, min, max, instead, help)                                    \
    _Static_assert(sizeof(name) > sizeof("RADDLE_") && (min) < (max) && (def) <= (max), name);
#include "base/option.def"

/* Long enough to recognise what one typed, short enough for one line. */
enum { SHOWN_MAX = 64 };

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static int *field_of(struct options *o, const struct row *row)
{
    return (int *)((char *)o + row->offset);
}

/* The value as far as one line and a terminal bear it: no control characters, a bounded
 * length. end bounds names, which are followed by '='. */
static void shown(char out[SHOWN_MAX + 4], const char *text, const char *end)
{
    size_t n = 0;

    for (; text != end && *text && n < SHOWN_MAX; text++)
        out[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
    if (text != end && *text)
        for (int dot = 0; dot < 3; dot++)
            out[n++] = '.';
    out[n] = 0;
}

/* Decimal digits and nothing else. Stops before it could overflow. */
static bool parse_int(const char *s, int max, int *value)
{
    long v = 0;

    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        v = v * 10 + (*s - '0');
        if (v > max)
            return false;
    }
    *value = (int)v;
    return true;
}

static bool parse_word(const char *type, const char *s, int *value)
{
    for (size_t i = 0; i < WORDS; i++)
        if (same(words[i].type, type) && same(words[i].word, s)) {
            *value = words[i].value;
            return true;
        }
    return false;
}

static const char *word_of(const char *type, int value)
{
    for (size_t i = 0; i < WORDS; i++)
        if (words[i].value == value && same(words[i].type, type))
            return words[i].word;
    return NULL;
}

static bool parse(const struct row *row, const char *s, int *value)
{
    if (!same(row->type, "int") && !same(row->type, "bool")) {
        if (parse_word(row->type, s, value))
            return true;
        if (!same(row->type, "bound"))
            return false;
        *value = BOUND_NAMED;
        return true;
    }
    /* The default may lie outside the range: RADDLE_PROCS=0 says "you choose". */
    return parse_int(s, row->max, value) && (*value >= row->min || *value == row->def);
}

/* "is not a number from 1 to 256", "is not one of auto, uring, epoll". */
static void expectation(char *out, size_t cap, const struct row *row)
{
    if (same(row->type, "bool")) {
        log_format(out, cap, "is not 0 or 1");
    } else if (same(row->type, "int")) {
        log_format(out, cap, "is not a number from %d to %d", row->min, row->max);
    } else {
        size_t n = log_format(out, cap, "is not one of ");
        const char *between = "";

        for (size_t i = 0; i < WORDS; i++)
            if (same(words[i].type, row->type)) {
                n += log_format(out + n, cap - n, "%s%s", between, words[i].word);
                between = ", ";
            }
    }
}

static void complain_value(const struct row *row, const char *value,
                           void (*complain)(const char *line))
{
    char line[LOG_LINE_MAX], given[SHOWN_MAX + 4], expected[160];
    const char *instead = row->instead ? row->instead : word_of(row->type, row->def);

    if (!complain)
        return;
    shown(given, value, NULL);
    expectation(expected, sizeof expected, row);
    if (instead)
        log_format(line, sizeof line, "%s=%s %s; using %s", row->name, given, expected, instead);
    else
        log_format(line, sizeof line, "%s=%s %s; using %d", row->name, given, expected, row->def);
    complain(line);
}

static void complain_name(const char *name, const char *end, void (*complain)(const char *line))
{
    char line[LOG_LINE_MAX], given[SHOWN_MAX + 4];

    if (!complain)
        return;
    shown(given, name, end);
    log_format(line, sizeof line, "%s is not a setting that raddle knows (see raddle(7)); ignored",
               given);
    complain(line);
}

const char *option_bound_pattern = "";

/* A copy: the program may change its environment. Names of threads have 15 characters at most, and a
 * longer pattern is cut where it hardly matters. */
static void keep_pattern(const char *value)
{
    static char pattern[64];
    size_t n = 0;

    for (; value[n] && n < sizeof pattern - 1; n++)
        pattern[n] = value[n];
    pattern[n] = 0;
    option_bound_pattern = pattern;
}

static int set(const struct row *row, struct options *into, const char *value,
               void (*complain)(const char *line))
{
    int v = row->def;

    if (*value && !parse(row, value, &v)) {
        complain_value(row, value, complain);
        return -EINVAL;
    }
    if (into)
        *field_of(into, row) = v;
    if (into && v == BOUND_NAMED && same(row->type, "bound"))
        keep_pattern(value);
    return 0;
}

int option_set(struct options *into, const char *name, const char *value,
               void (*complain)(const char *line))
{
    for (size_t i = 0; i < ROWS; i++)
        if (same(rows[i].name, name))
            return set(&rows[i], into, value, complain);
    complain_name(name, NULL, complain);
    return -ENOENT;
}

/* The row whose name is what stands before '=' in an entry, or NULL. */
static const struct row *row_of(const char *entry)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *name = rows[i].name, *e = entry;

        while (*name && *name == *e) {
            name++;
            e++;
        }
        if (!*name && *e == '=')
            return &rows[i];
    }
    return NULL;
}

/* The '=' of an entry whose name starts with RADDLE_, or NULL. */
static const char *ours(const char *entry)
{
    const char *name = "RADDLE_";

    while (*name && *name == *entry) {
        name++;
        entry++;
    }
    if (*name)
        return NULL;
    while (*entry && *entry != '=')
        entry++;
    return *entry ? entry : NULL;
}

/* One walk over the environment; only restricts it to one row. */
static void walk(char **envp, const char *only, void (*complain)(const char *line))
{
    unsigned long long seen = 0;

    for (; *envp; envp++) {
        const char *equals = ours(*envp);
        const struct row *row = equals ? row_of(*envp) : NULL;

        if (!equals || (only && !(row && same(row->name, only))))
            continue;
        if (!row) {
            complain_name(*envp, equals, complain);
            continue;
        }
        /* As with getenv(), the first of several entries of one name counts. */
        if (seen & (1ull << (row - rows)))
            continue;
        seen |= 1ull << (row - rows);
        if (only || !same(row->name, "RADDLE_QUIET"))
            set(row, &options, equals + 1, complain);
    }
}

void option_parse(char **envp, void (*complain)(const char *line))
{
    for (size_t i = 0; i < ROWS; i++)
        *field_of(&options, &rows[i]) = rows[i].def;
    if (!envp)
        return;
    /* First of all whether complaints are wanted, for the entries come in any order. */
    walk(envp, "RADDLE_QUIET", complain);
    walk(envp, NULL, options.quiet ? NULL : complain);
}

int option_describe(unsigned i, const struct options *from, struct option_info *info)
{
    if (i >= ROWS)
        return 0;
    info->name = rows[i].name;
    info->help = rows[i].help;
    info->value = *(const int *)((const char *)from + rows[i].offset);
    info->word = word_of(rows[i].type, info->value);
    return 1;
}
