/* Finds the lane of a job: the callee, and the places in the code that submit it, are its key. */

#include "dicts.h"
#include "entry.h"

#include <frameobject.h>

#if PY_VERSION_HEX >= 0x030B0000
#define WORDS_A_FRAME 1 /* the bytecode lies within the code object: its address plus the offset is unique */
#else
#define WORDS_A_FRAME 2
#endif

/* The code of the function that a partial of `Context.run` carries, as asyncio.to_thread() makes it; else NULL. */
static PyObject *
carried_code(PyObject *partial, Module *module)
{
    PyObject *code = NULL;
    PyObject *run = PyObject_GetAttr(partial, module->func_name);
    PyObject *args = run != NULL ? PyObject_GetAttr(partial, module->args_name) : NULL;
    if (args != NULL && PyCFunction_Check(run) && PyTuple_Check(args) && PyTuple_GET_SIZE(args) > 0) {
        PyObject *owner = PyCFunction_GET_SELF(run);
        PyObject *function = PyTuple_GET_ITEM(args, 0);
        if (owner != NULL && PyContext_CheckExact(owner) && PyFunction_Check(function)) {
            code = PyFunction_GET_CODE(function);
        }
    }
    Py_XDECREF(args);
    Py_XDECREF(run);
    PyErr_Clear();
    return code;
}

/* What stands for the callee in a key: the address of its code, or 0 and `name`. -1 with an exception set. */
static int
callee_of(Entry *self, Module *module, PyObject *function, uint64_t *word, PyObject **name)
{
    PyObject *code = NULL;
    if (Py_IS_TYPE(function, &PyFunction_Type)) {
        code = PyFunction_GET_CODE(function);
    }
    else if (Py_IS_TYPE(function, module->partial_type)) {
        code = carried_code(function, module);
    }
    if (code != NULL) {
        *word = (uint64_t)(uintptr_t)code;
        return 0;
    }
    PyObject *key = PyObject_CallOneArg(self->callee_key, function);
    if (key == NULL) {
        return -1;
    }
    if (PyLong_Check(key)) {
        *word = (uint64_t)(uintptr_t)PyLong_AsVoidPtr(key);
        Py_DECREF(key);
        return PyErr_Occurred() ? -1 : 0;
    }
    *word = 0;
    *name = key;
    return 0;
}

static inline int
is_end(Entry *self, uintptr_t code)
{
    for (int i = 0; i < self->ends; i++) {
        if (self->end[i] == code) {
            return 1;
        }
    }
    return 0;
}

/* Where a frame stands; -1 with an exception set. */
static int
place_of(Module *module, PyFrameObject *frame, uintptr_t code, uint64_t *words)
{
#if PY_VERSION_HEX >= 0x030B0000
    (void)module;
    words[0] = (uint64_t)code + (uint64_t)PyFrame_GetLasti(frame);
#else
    PyObject *offset = PyObject_GetAttr((PyObject *)frame, module->lasti_name);
    if (offset == NULL) {
        return -1;
    }
    words[0] = code;
    words[1] = (uint64_t)PyLong_AsLongLong(offset);
    Py_DECREF(offset);
#endif
    return 0;
}

/* How many frames, from `caller` on, submit the job, and where they stand; -1 with an exception set. */
static int
walk(Entry *self, Module *module, PyFrameObject *caller, int most, int to_step, uint64_t *words)
{
    PyFrameObject *frame = caller;
    int depth = 0;
    Py_INCREF(frame);
    while (frame != NULL && depth < most) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        uintptr_t address = (uintptr_t)code;
        Py_DECREF(code); /* the frame has it */
        if ((to_step && is_end(self, address)) || place_of(module, frame, address, words + depth * WORDS_A_FRAME) < 0) {
            break;
        }
        depth++;
        PyFrameObject *outer = depth < most ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(frame);
        frame = outer;
    }
    Py_XDECREF(frame);
    return PyErr_Occurred() ? -1 : depth;
}

PyObject *
lane_of(Entry *self, Module *module, Pool *pool, PyObject *function, int most, int to_step)
{
    uint64_t words[1 + ON_LOOP * WORDS_A_FRAME];
    PyObject *name = NULL, *key = NULL, *lane = NULL;
    PyObject *caller = PyObject_CallOneArg(module->getframe, module->one);
    if (caller == NULL || callee_of(self, module, function, words, &name) < 0) {
        goto done;
    }
    int depth = walk(self, module, (PyFrameObject *)caller, most, to_step, words + 1);
    if (depth < 0) {
        goto done;
    }
    size_t size = (size_t)(1 + depth * WORDS_A_FRAME) * sizeof(uint64_t);
    if (name == NULL && (lane = same_as_last(pool, words, size)) != NULL) {
        goto done;
    }
    key = PyBytes_FromStringAndSize((char *)words, (Py_ssize_t)size);
    if (key != NULL && name != NULL) {
        PyObject *named = PyTuple_Pack(2, key, name);
        Py_SETREF(key, named);
    }
    if (key == NULL) {
        goto done;
    }
    lane = found_in(pool->lanes, key);
    if (lane != NULL && name == NULL) {
        keep_as_last(pool, key, lane);
    }
    if (lane == NULL && !PyErr_Occurred()) {
        PyObject *frames = PyLong_FromLong(depth);
        if (frames != NULL) {
            PyObject *whole = most == 1 ? Py_False : Py_True;
            lane = PyObject_CallMethodObjArgs((PyObject *)pool, module->meet_name, key, frames, caller, function, whole,
                                              NULL);
            Py_DECREF(frames);
        }
    }
done:
    Py_XDECREF(key);
    Py_XDECREF(name);
    Py_XDECREF(caller);
    return lane;
}
