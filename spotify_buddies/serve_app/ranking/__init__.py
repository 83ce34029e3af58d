"""One version's answer: the engine, its rules, reasons, cold start and kernels."""
