"""Tell griffe, which reads the code without running it, what the client's methods are.

``upload = _now(datasets.upload)`` makes a method of a call; for a reader it is a method with the call's arguments and
words, which returns what the call returns in the end.
"""

from typing import Any

from griffe import Attribute, ExprCall, ExprSubscript, Extension, Function, Module, Parameters

MODULE = "client.client"
RETURNED = {"_now": "{}", "_each": "Iterator[{}]", "_later": "Awaitable[{}]", "_each_later": "AsyncIterator[{}]"}
"""What wraps a call → what the method returns, around what the call gives."""


class MethodsOfCalls(Extension):
    """Puts methods where the client's module has wrapped calls."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Once the package is read: all classes of the client."""
        if pkg.path != "negmerge":
            return
        module = pkg[MODULE]
        for found in module.classes.values():
            for name, attribute in list(found.attributes.items()):
                if method := _method(module, attribute):
                    found.set_member(name, method)


def _method(module: Module, attribute: Attribute) -> Function | None:
    """The method that an attribute is, where a call is wrapped there."""
    value = attribute.value
    if not isinstance(value, ExprCall) or str(value.function) not in RETURNED:
        return None
    [wrapped] = value.arguments
    called = module.package[str(getattr(wrapped, "canonical_path", wrapped)).removeprefix(f"{module.package.path}.")]
    if not isinstance(called, Function):
        raise TypeError(f"{attribute.path} wraps {called.path}, which is no function")
    gives = called.returns.slice if isinstance(called.returns, ExprSubscript) else called.returns
    return Function(
        attribute.name,
        parameters=Parameters(*called.parameters),
        returns=RETURNED[str(value.function)].format(gives),
        docstring=called.docstring,
        lineno=attribute.lineno,
        endlineno=attribute.endlineno,
    )
