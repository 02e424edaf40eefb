"""The words of Overnight. This package never imports Prefect.

trajectory   what an agent saw and did              outcome      what the world did
group        completions that share one prompt      reward       what we say it was worth
example      a group ready for training             snapshot     an immutable, hashed set of rows
checkpoint   weights and where they came from       policy       what acts; its weights are a model
contest      rows of (policy, item, metric, value)  evaluation   numbers with intervals
promotion    the verdict, and the pointer it moves  use case     what one product says about itself
experiment   models that users get at once          arm          those of them who get one model
"""
