"""The bars of the measurement model (docs/explanation/measurement.md): five volumes, a real pair.

What is compared, each against a truth that is known:

- ``parts.points``: sharp, even planes at 2x, 4x and 8x: what being told costs where there is
  nothing to tell. Linear, cubic, isoslice as it was before networks were told anything ("today's":
  the same network and training time, all examples points), and as it is ("told").
- ``parts.blurred``: 4x, through a slab and two Gaussians, without noise and with 3%: today's, which
  is told nothing; told the profile; told to find it (``auto``). How planes agree (chi squared).
- ``parts.own``: the same planes, restored by models that were trained for planes like these, as
  `isoslice predict` trains by itself ("for these planes").
- ``parts.uneven``: planes missing, off their places, at a fraction of the output's.
- ``parts.cost``: seconds, of networks in turn.
- ``peers``: CARE and ECLARE on blurred planes, told the same, and ECLARE left to find the profile.
- ``pair``: one CT scan reconstructed twice, thick slices against thin ones.

Intervals are measured wherever `Model.predict` gives them, and are left out where it refuses.

Files: ``volumes`` (what is read), ``scenes`` (how planes are made of a truth, and scores),
``bench`` (models, and restoring by them, each once), ``parts``, ``peers``, ``pair``, then ``rows``,
``bars`` and ``tables`` of what was found, and ``run``.
"""
