"""One prompt, one pass: what the answers of a group share is computed once, and the same numbers come out .

`trainer` attaches it to the engine, `support` says which parts are exact for a model and its settings, `selfcheck` compares the
first step with the stock one. Below them: `layout` and `packed` (the loss), `generate` (the samples), `attention` (both), `pictures`
(the processor), `rows` (what a micro-batch is).
"""
