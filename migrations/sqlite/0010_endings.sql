-- How the polls of a module come to their end: a date, brown-outs, clients that are refused already. NULL = nothing is planned.
ALTER TABLE module_stage ADD COLUMN ending TEXT;
