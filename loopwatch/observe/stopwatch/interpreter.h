/* The interpreter, of all versions and makes that we are compiled for. */

#ifndef LOOPWATCH_INTERPRETER_H
#define LOOPWATCH_INTERPRETER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stddef.h>
#include <stdint.h>

#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* What one of our files offers to the others is none of the process's: of all names only that of the module is seen. */
#if defined(__GNUC__)
#define INTERNAL __attribute__((visibility("hidden")))
#else
#define INTERNAL
#endif

#endif
