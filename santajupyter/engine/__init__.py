"""Engines run a model. Importing this package imports no torch: the model has a process of its own."""

from .process import Call, EngineProcess, EngineUnavailable, ModelStatus, RequestFailed

__all__ = ["Call", "EngineProcess", "EngineUnavailable", "ModelStatus", "RequestFailed"]
