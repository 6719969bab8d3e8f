"""What the codes of findings mean whose audits have no room for it beside them; docs/findings.md is made from it."""
