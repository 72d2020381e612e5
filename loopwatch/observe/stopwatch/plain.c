/* What a class of stopwatches has made of the fields; see plain.h. */

#include "plain.h"

#include "exceptions.h"

/* Whether `kind` has for `name` the very descriptor that `Fields` has. What cannot be asked has not; below zero: with
 * an exception that goes on. */
static int
has_own(PyTypeObject *kind, Module *module, const char *name)
{
    PyObject *wanted = PyObject_GetAttrString((PyObject *)module->fields_type, name);
    PyObject *found = wanted != NULL ? PyObject_GetAttrString((PyObject *)kind, name) : NULL;
    int same = found != NULL && found == wanted;
    Py_XDECREF(found);
    Py_XDECREF(wanted);
    return found == NULL && goes_on(module) ? -1 : same;
}

int
judge(PyObject *owner, Plain *plain, PyTypeObject *kind, Module *module)
{
    if (!PyType_IsSubtype(kind, module->fields_type)) {
        return 0;
    }
    for (PyGetSetDef *field = fields_getset; field->name != NULL; field++) {
        int same = has_own(kind, module, field->name);
        if (same <= 0) {
            return same;
        }
    }
    for (int i = 0; i < MOST_CLASSES; i++) {
        Py_INCREF(kind);
        if (put_instead(owner, (PyObject **)&plain->kind[i], NULL, (PyObject *)kind)) {
            break;
        }
    }
    return 1;
}
