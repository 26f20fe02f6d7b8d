"""The endpoints: what each answers, in which generation, to which scopes."""
